#!/bin/sh
# Makes the virtual environment from the lock file. Names a missing prerequisite and the way to get it.
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
echo "patchclip: installing the pinned dependencies into $VENV (PyTorch is large: several minutes the first time)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.lock
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
