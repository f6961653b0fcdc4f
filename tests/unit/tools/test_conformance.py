"""The conformance statement says what the program does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_statement_s_tables_are_those_of_the_program() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "conformance.py", "--check"], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, f"run tools/conformance.py and commit docs/conformance.md\n{checked.stderr}"
