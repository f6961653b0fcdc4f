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

say() {
  printf 'patchclip: %s\n' "$1" >&2
}

install() {
  "$VENV/bin/python" tools/pip_progress.py "$@"
}

[ -x "$VENV/bin/python" ] || { say "1/4 makes $VENV with $("$PYTHON" -V 2>&1)"; "$PYTHON" -m venv "$VENV"; }

# PyTorch for processors, where pip finds that build; else the index's own, which brings the libraries of CUDA.
sed -n '/^torch==/,/[^\\]$/p' requirements.lock > "$VENV/torch.lock"
LOCK=requirements.lock
say "2/4 asks the package index which build of PyTorch it has"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --dry-run --no-deps --require-hashes \
  --requirement "$VENV/torch.lock" >/dev/null 2>&1 || LOCK=requirements/cuda.lock
say "3/4 installs what $LOCK, requirements/build.lock and requirements/dev.lock pin into $VENV (PyTorch is large: several minutes the first time)"
install --require-hashes --requirement "$LOCK" --requirement requirements/build.lock --requirement requirements/dev.lock
say "4/4 installs this checkout"
install --no-deps --no-build-isolation --editable .
say "done: $VENV/bin/patchclip-node --help"
