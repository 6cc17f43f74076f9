#!/usr/bin/env bash
# The trained weights that the notebooks show (nbs/trained), from HDM05's three training actors:
# nano, which sees whole clips; causal-nano, which answers frame by frame and knows `nothing`; and a student of a fifth of nano's size,
# trained once from the labels alone (hdm05_student) and once from nano's answers too (hdm05_taught).
#   experiments/notebook_weights.sh             # all; or one by its name:
#   experiments/notebook_weights.sh hdm05_nano
set -euo pipefail
cd "$(dirname "$0")/.."
trained=$PWD/nbs/trained
cd "$(mktemp -d)"  # so that the settings hold no machine's paths

learn() {  # command, name of the folder, settings
  mkdir -p "$trained/$2"
  python -m last "$1" "${@:3}" --threads 1 --data hdm05 --out "$2"
  python -m last evaluate --run "$2" --data hdm05 --device cpu
  cp "$2"/{config.json,last.safetensors,trained_on.txt} "$trained/$2"
  python -c 'import sys; from last.checksums import list_files; list_files(sys.argv[1], sys.argv[2:])' \
    "$trained/$2" config.json last.safetensors trained_on.txt
}

wanted() { [ "${only:-$1}" = "$1" ]; }
only=${1:-}
student=(--config hdm05 --model "nano channels=16,24,24 stem=8 attention= pool=mean+max" --pre.stream joint --lr 0.004)

python -m last prepare --dataset hdm05 --out hdm05
if wanted hdm05_nano; then learn train hdm05_nano --config hdm05 --model nano --pre.stream joint --lr 0.004; fi
if wanted hdm05_causal; then learn train hdm05_causal --config hdm05_causal --model "causal-nano memory=4,16,64 carry=0.25 gate=true" --epochs 100 --lr 0.004; fi
if wanted hdm05_student; then learn train hdm05_student "${student[@]}"; fi
if wanted hdm05_taught; then
  cp -r "$trained/hdm05_nano" .
  learn distill hdm05_taught "${student[@]}" --teachers hdm05_nano
fi
