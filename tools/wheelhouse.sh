#!/bin/sh
# Makes a folder from which the product is installed without a network: sh tools/wheelhouse.sh OUT [LOCK]
#   OUT   a folder that is not there yet
#   LOCK  requirements.lock (the default), requirements/cuda.lock, requirements/worker-onnx.lock of a worker for exported models,
#         requirements/results.lock of a machine without a worker, or requirements/base.lock of a receiver alone
# Run it with the Python version, on the system and the processor of the machine that it is for.
set -eu

fail() {
  printf 'patchclip: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 1 ] || fail "sh tools/wheelhouse.sh OUT [LOCK]"
OUT=$1 LOCK=${2:-requirements.lock} PYTHON=${PYTHON:-python3}
[ ! -e "$OUT" ] || fail "$OUT is there already: name a new folder"
cd "$(dirname "$0")/.." || exit 1
[ -f "$LOCK" ] || fail "there is no lock $LOCK"
case $OUT in /*) ;; *) fail "$OUT: name the folder from the root on" ;; esac

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
"$PYTHON" -m venv "$WORK/build"
"$WORK/build/bin/python" -m pip install --quiet --require-hashes --requirement requirements/build.lock
mkdir -p "$OUT"
"$WORK/build/bin/python" -m pip download --quiet --only-binary :all: --require-hashes --dest "$OUT" \
  --extra-index-url "${CPU_INDEX:-https://download.pytorch.org/whl/cpu}" --requirement "$LOCK"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
"$WORK/build/bin/python" -m hatchling build --target wheel --directory "$OUT" >/dev/null 2>&1 || fail "the wheel was not built"
cp "$LOCK" "$OUT/wheelhouse.lock"
cp requirements/common.lock "$OUT/common.lock"
sed -i 's|^-r requirements/common.lock|-r common.lock|' "$OUT/wheelhouse.lock"
cd "$OUT"
find . -type f ! -name SHA256SUMS | LC_ALL=C sort | sed 's|^\./||' | while read -r file; do sha256sum "$file"; done > SHA256SUMS
printf 'patchclip: %s holds %s files, %s MB\n' "$OUT" "$(find . -type f | wc -l)" "$(du -sm . | cut -f1)"
