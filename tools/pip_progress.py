"""Runs `pip install` and says what it is at: which package, of how many. What pip says itself is shown where it fails.

python tools/pip_progress.py PIP_ARGUMENTS...
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

_SHOWN_LINES: Final = 20
_BEGUN: Final = re.compile(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)")
_DOWNLOADED: Final = re.compile(r"Downloading (\S+?)(?:\.metadata)? \(([\d.]+ [kMG]?B)\)")
_INSTALLS: Final = re.compile(r"Installing collected packages: ")


def pinned(arguments: Sequence[str]) -> int:
    """Return how many packages the lock files among pip's arguments pin."""
    files = [Path(after) for before, after in pairwise(arguments) if before == "--requirement"]
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\S+\])?==", "\n".join(map(_text, files)), flags=re.MULTILINE)
    return len({name.lower() for name in names})


def _text(path: Path) -> str:
    """Return a lock file's text, with that of the files that it names (`-r`, seen from where it lies)."""
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"^-r (\S+)", text, flags=re.MULTILINE)
    return "\n".join([text, *(_text(path.parent / name) for name in named)])


def told(lines: Iterable[str], total: int) -> Iterator[str]:
    """Yield what is said of pip's lines: each package once, large files with their size, and the last step."""
    seen: set[str] = set()
    for line in lines:
        if (found := _BEGUN.match(line.strip())) and found[1].lower() not in seen:
            seen.add(found[1].lower())
            yield f"  {len(seen)}/{max(total, len(seen))} {found[1]}"
        elif (found := _DOWNLOADED.match(line.strip())) and found[2].endswith(("MB", "GB")):
            yield f"    downloads {found[1].rpartition('/')[2]}, {found[2]}"
        elif _INSTALLS.match(line.strip()):
            yield f"  all {max(total, len(seen))} are here; unpacks them, which takes a minute or two"


def main(arguments: Sequence[str]) -> int:
    """Run pip; returns its exit status."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    last: deque[str] = deque(maxlen=_SHOWN_LINES)
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None

        def kept() -> Iterator[str]:
            for line in process.stdout or ():
                last.append(line)
                yield line

        for words in told(kept(), pinned(arguments)):
            sys.stderr.write(f"{words}\n")
            sys.stderr.flush()
    if process.returncode:
        sys.stderr.write("patchclip: pip could not install all; its last lines:\n" + "".join(last))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
