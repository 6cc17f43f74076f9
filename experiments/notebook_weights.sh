#!/usr/bin/env bash
# The trained weights that the notebooks show (nbs/trained/hdm05_nano): nano, on HDM05's three training actors.
#   experiments/notebook_weights.sh
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/nbs/trained/hdm05_nano
cd "$(mktemp -d)"  # so that the settings hold no machine's paths
python -m last prepare --dataset hdm05 --out hdm05
python -m last train --config hdm05 --model nano --lr 0.004 --pre.stream joint --threads 1 --data hdm05 --out run
python -m last evaluate --run run --data hdm05 --device cpu
cp run/{config.json,last.safetensors,trained_on.txt} "$out"
