#!/usr/bin/env bash
# The trained weights that the notebooks show (nbs/trained), from HDM05's three training actors:
# nano, which sees whole clips, and causal-nano, which answers frame by frame and knows `nothing`.
#   experiments/notebook_weights.sh             # both; or one by its name:
#   experiments/notebook_weights.sh hdm05_nano
set -euo pipefail
cd "$(dirname "$0")/.."
trained=$PWD/nbs/trained
cd "$(mktemp -d)"  # so that the settings hold no machine's paths

learn() {  # name of the folder, settings
  mkdir -p "$trained/$1"
  python -m last train "${@:2}" --lr 0.004 --threads 1 --data hdm05 --out "$1"
  python -m last evaluate --run "$1" --data hdm05 --device cpu
  cp "$1"/{config.json,last.safetensors,trained_on.txt} "$trained/$1"
  python -c 'import sys; from last.checksums import list_files; list_files(sys.argv[1], sys.argv[2:])' \
    "$trained/$1" config.json last.safetensors trained_on.txt
}

python -m last prepare --dataset hdm05 --out hdm05
if [ "${1:-hdm05_nano}" = hdm05_nano ]; then learn hdm05_nano --config hdm05 --model nano --pre.stream joint; fi
if [ "${1:-hdm05_causal}" = hdm05_causal ]; then learn hdm05_causal --config hdm05_causal --model "causal-nano memory=4,16,64 carry=0.25 gate=true" --epochs 100; fi
