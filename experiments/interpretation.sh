#!/usr/bin/env bash
# How faithful the maps of 53_faithfulness are, for the networks of nbs/trained and for a peer,
# which is trained briefly first (HDM05, three actors; RUNS keeps it).
#   experiments/interpretation.sh STORES RUNS
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1/hdm05 runs=$2

measure() {  # run, settings
  python experiments/interpretation.py --run "$1" --data "$data" --out "results/interpretation/$(basename "$1" | sed s/hdm05_//).json" "${@:2}"
}

measure nbs/trained/hdm05_nano
measure nbs/trained/hdm05_student --every 3 --leave-out occlusion
measure nbs/trained/hdm05_causal --every 9 --leave-out occlusion
for name in stgcn ctrgcn efficientgcn-b0; do  # any other of the table can be added here
  python -m last train --config hdm05 --model "$name" --pre.stream joint --epochs 30 --threads 1 --data "$data" --out "$runs/$name"
  measure "$runs/$name" --every 9 --leave-out occlusion
done
