#!/bin/sh
# Writes requirements.lock from what is installed in .venv: exact versions, without local parts such as +cpu, and without
# the CUDA packages that a GPU build of PyTorch pins itself, so that the file resolves on any host.
set -eu
VENV=${VENV:-.venv}
{
  printf '# Exact versions that the project is built and tested with. Made by tools/lock.sh; pip resolves it on any host.\n'
  printf '# PyTorch brings its own CUDA packages where its build needs them.\n'
  "$VENV/bin/python" -m pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools --exclude patchclip \
    | sed -E 's/\+[a-z0-9.]+$//' | grep -viE '^(nvidia-|triton|cuda-)' | LC_ALL=C sort -f
} > requirements.lock
