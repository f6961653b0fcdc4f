#!/bin/sh
# Makes what is published of the commit that is checked out, and signs it: sh tools/release.sh KEY OUT [ENVIRONMENT]
#   KEY          the secret key of minisign
#   OUT          a folder that is not there yet
#   ENVIRONMENT  where the wheel is installed already; if not said, one is made from requirements.lock for the bill of materials
# The wheel is the same file whenever and wherever it is made of the same commit with the tools of requirements/build.lock.
set -eu

fail() {
  printf 'patchclip: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 2 ] || fail "sh tools/release.sh KEY OUT [ENVIRONMENT]"
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$PWD/.venv/bin/python}
KEY=$1 OUT=$2 ENVIRONMENT=${3:-}
command -v minisign >/dev/null || fail "minisign is missing. On Debian or Ubuntu: sudo apt-get install minisign"
[ -f "$KEY" ] || fail "$KEY is not there: minisign -G -s $KEY makes a key"
[ ! -e "$OUT" ] || fail "$OUT is there already: name a new folder"
COMMIT=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/source" "$OUT"
OUT=$(cd "$OUT" && pwd)
git archive "$COMMIT" | tar -x -C "$WORK/source"

(cd "$WORK/source" && "$PYTHON" -m hatchling build --target wheel --directory "$OUT" >/dev/null 2>&1) || fail "the wheel was not built"
if [ -z "$ENVIRONMENT" ]; then
  ENVIRONMENT=$WORK/environment
  "$PYTHON" -m venv --without-pip "$ENVIRONMENT"
  "$PYTHON" -m pip --python "$ENVIRONMENT" install --quiet --require-hashes --requirement "$WORK/source/requirements.lock"
  "$PYTHON" -m pip --python "$ENVIRONMENT" install --quiet --no-deps "$OUT"/*.whl
fi
"$PYTHON" tools/sbom.py "$ENVIRONMENT" "$OUT/sbom.cdx.json"
cp -R "$WORK/source/requirements.lock" "$WORK/source/requirements" "$WORK/source/THIRD_PARTY.md" "$OUT"

cd "$OUT"
find . -type f ! -name 'SHA256SUMS*' | LC_ALL=C sort | sed 's|^\./||' | while read -r file; do sha256sum "$file"; done > SHA256SUMS
minisign -S -s "$KEY" -m SHA256SUMS -t "patchclip $(basename ./*.whl) commit $COMMIT" >/dev/null
printf 'patchclip: %s holds the wheel, its bill of materials, locks, licences, and their signed checksums\n' "$OUT"
