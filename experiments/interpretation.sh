#!/usr/bin/env bash
# How faithful the maps of 53_faithfulness are, for the networks of nbs/trained and for a peer,
# which is trained briefly first (HDM05, three actors; RUNS keeps it).
#   experiments/interpretation.sh STORES RUNS
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1/hdm05 runs=$2

for name in nano student causal; do
  python experiments/interpretation.py --run "nbs/trained/hdm05_$name" --data "$data" --out "results/interpretation/$name.json"
done
for name in efficientgcn-b0; do  # any other of the table can be added here
  python -m last train --config hdm05 --model "$name" --pre.stream joint --epochs 30 --threads 1 --data "$data" --out "$runs/$name"
  python experiments/interpretation.py --run "$runs/$name" --data "$data" --out "results/interpretation/$name.json" --every 3 --leave-out occlusion
done
