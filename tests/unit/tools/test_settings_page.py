"""docs/settings.md says what the settings' types say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_as_the_types_are() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings_page.py", "--check"], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, f"run tools/settings_page.py and commit docs/settings.md\n{checked.stderr}"
