#!/usr/bin/env bash
# The weights that come with the package (last/weights), from HDM05's three training actors, and what they are worth:
#   core15  fifteen joints, frame by frame, with a class for nothing: what `last predict` and `last live` start with
#   hdm05   all joints, whole clips: the recipe of `make demo`
#   experiments/shipped_weights.sh STORES   # STORES: a folder for stores; Kinect clips for the measurement are looked
#                                           # for in STORES/utd-mhad-core15 and STORES/nw-ucla-core15 (prepare --as core15)
set -euo pipefail
stores=$(realpath "$1")
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
cd "$work"  # so that the settings hold no machine's paths

python -m last prepare --dataset hdm05 --out hdm05
python "$root/experiments/core15_store.py" --out hdm05-core15
python -m last train --config core15 --threads 1 --data hdm05-core15 --out core15
python -m last train --config hdm05 --threads 1 --data hdm05 --out hdm05-run
python "$root/experiments/pack_weights.py" --run core15 --out "$root/last/weights/core15"
python "$root/experiments/pack_weights.py" --run hdm05-run --out "$root/last/weights/hdm05"

python -m last evaluate --run "$root/last/weights/hdm05" --data hdm05 --device cpu --out "$root/results/shipped/hdm05.json"
others=()
for clips in utd-mhad-core15 nw-ucla-core15; do
  if [ -d "$stores/$clips" ]; then ln -s "$stores/$clips" . && others+=("$clips"); fi
done
python "$root/experiments/shipped.py" --run "$root/last/weights/core15" --clips hdm05-core15 --others "${others[@]}" --out "$root/results/shipped/core15.json"

# the same with the clips of the two other sets, whose terms do not allow to pass it on: measured, not packed
if [ "${#others[@]}" = 2 ]; then
  python "$root/experiments/core15_store.py" --out more-core15 --more "${others[@]}"
  python -m last train --config core15 --threads 1 --data more-core15 --out more
  python "$root/experiments/shipped.py" --run more --clips hdm05-core15 --others "${others[@]}" --out "$root/results/shipped/core15_more.json"
fi
