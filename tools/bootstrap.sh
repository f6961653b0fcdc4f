#!/bin/sh
# Makes the virtual environment from the lock files. Names a missing prerequisite and the way to get it.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

fail() {
  printf 'patchclip: %s\n' "$1" >&2
  exit 1
}

command -v git >/dev/null 2>&1 || fail "git is missing. On Debian or Ubuntu: sudo apt-get install git"
command -v "$PYTHON" >/dev/null 2>&1 \
  || fail "$PYTHON is missing. On Debian or Ubuntu: sudo apt-get install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "Python 3.11 or newer is needed, $PYTHON is $("$PYTHON" -V 2>&1 | cut -d' ' -f2). Try: make PYTHON=python3.11 ..."
"$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1 \
  || fail "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install python3-venv"

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
install() {
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# PyTorch for processors, where pip finds that build; else the index's own, which brings the libraries of CUDA.
sed -n '/^torch==/,/[^\\]$/p' requirements.lock > "$VENV/torch.lock"
LOCK=requirements.lock
install --dry-run --no-deps --require-hashes --requirement "$VENV/torch.lock" >/dev/null 2>&1 || LOCK=requirements/cuda.lock
echo "patchclip: installing what $LOCK and requirements/dev.lock pin into $VENV (PyTorch is large: several minutes the first time)"
install --require-hashes --requirement "$LOCK" --requirement requirements/build.lock --requirement requirements/dev.lock
install --no-deps --no-build-isolation --editable .
