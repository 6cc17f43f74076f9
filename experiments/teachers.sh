#!/usr/bin/env bash
# The teachers of experiments/grids/choose_distil.yaml (PART=fit) and of ablation.yaml's distilled rows (PART=train):
#   experiments/teachers.sh fit     (then: train)
# Needs the stores `stores/utd-mhad` and `stores/nw-ucla`, and VIDEOS, the folder of UTD-MHAD's depth videos (without it: no video teacher).
set -euo pipefail
part=$1
for set in "utd-mhad xsub" "nw-ucla b"; do
  python -m last ablate --grid "experiments/grids/teachers_$part.yaml" --stores stores --work "runs/teachers_$part" --out "results/teachers_$part" --sets "$set" --seeds 0
  store=stores/${set% *}; name=${set/ /-}; run=runs/teachers_$part/$name; out=runs/teachers/$part
  streams() { for s in joint bone joint-motion; do for k in 1 2 3; do echo "${run}_$s$1-without-fold-$k-3_0"; done; done; }
  python -m last run-logits --data "$store" --features --out "$out/unsmoothed_$name.npz" --runs $(streams -no-smoothing)
  [ "$part" = fit ] || continue
  python -m last run-logits --data "$store" --features --out "$out/crossfit_$name.npz" --runs $(streams "")
  python -m last run-logits --data "$store" --seen use --out "$out/seen_$name.npz" --runs "$run"_{joint,bone,joint-motion}_0
  python -m last run-logits --data "$store" --out "$out/self_$name.npz" --runs "$run"_joint-without-fold-{1,2,3}-3_0
done
[ -n "${VIDEOS:-}" ] || exit 0
recipe=(--data stores/utd-mhad --videos "$VIDEOS" --cache "runs/video_cache" --protocol xsub --model tsm --part "$part" --layer-decay 1 --epochs 50 --batch 16 --lr 3e-3 --mixup 0 --cutmix 0 --crop 0.7 1 --ema 0.98 --amp bf16 --device cpu)
for k in 1 2 3; do python -m last teacher-finetune "${recipe[@]}" --fold $k/3 --out "runs/video/${part}_$k"; done
python -m last teacher-logits --runs "runs/video/${part}"_{1,2,3} --data stores/utd-mhad --videos "$VIDEOS" --cache runs/video_cache --features --out "runs/video/logits_$part" --device cpu
cp "runs/video/logits_$part/teacher.npz" "runs/teachers/$part/video_utd-mhad-xsub.npz"
