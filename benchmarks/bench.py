"""All of the node's benchmarks, one after another on a quiet machine: benchmarks/results.json and docs/performance.md.

    make bench [BENCH="--quick"]
    python -m benchmarks.bench [--quick] [--again] [--only PART ...] [--wait-s 600]

Each part is a separate module, which may be run by itself. Before each it is waited until other programs leave the
processors alone, `--wait-s` at most; what they used before and meanwhile is kept with the figures and told. A part that
was measured of this version is not measured again, so that a run that was broken off goes on: `--again` measures all.
`--quick` takes a few minutes, and writes neither of the two files: it shows that all parts run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.tables import markdown

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results.json"
PAGE: Final = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"

QUIET_PERCENT: Final = 10.0
"""What other programs may use of all processors on a machine that is called quiet."""
_LOOK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Part:
    """A module of `benchmarks`, and its options; `quick`: those that end within a minute or so."""

    name: str
    title: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


PARTS: Final = (
    Part(
        "ingest",
        "Images received",
        options=("--processes", "2", "--repeats", "3"),
        quick=("--quick", "--repeats", "1", "--associations", "1", "4", "--loads", "10 MB", "100 kB"),
    ),
    Part("one_study", "One study, beyond its quiet time", quick=("--studies", "2", "--px", "512", "512")),
    Part("sustained", "A burst of studies", quick=("--studies", "4", "--repeats", "1", "--px", "512", "512")),
    Part("study_costs", "What a study costs each process", quick=("--studies", "3", "--px", "512", "512")),
    Part("at_rest", "A node at rest", quick=("--seconds", "5")),
    Part(
        "memory_growth",
        "Memory against the studies that went through",
        quick=("--studies", "40", "--batch", "4", "--blocks", "4"),
    ),
    Part("ledger_growth", "The ledger", quick=("--sizes", "100", "1000", "--repeats", "3")),
)


@dataclass(frozen=True, slots=True)
class Noise:
    """What other programs used, as a share of all processors in percent: before a part, and while it ran."""

    before_percent: float
    meanwhile_percent: float

    @property
    def in_words(self) -> str:
        """What stands below a table."""
        quiet = max(self.before_percent, self.meanwhile_percent) <= QUIET_PERCENT
        return (
            f"{'A quiet machine' if quiet else 'A noisy machine'}: other programs used {self.before_percent:.0f} % of "
            f"its processors before, {self.meanwhile_percent:.0f} % meanwhile."
        )


def others() -> dict[str, float]:
    """Return which programs use how many percent of all processors just now, the most first; a look takes seconds."""
    mine = os.getpid()
    processes = [one for one in psutil.process_iter(["name"]) if one.pid != mine]
    for one in processes:
        _used_percent(one)
    time.sleep(_LOOK_S)
    used: dict[str, float] = {}
    for one in processes:
        name = str(one.info["name"])
        used[name] = used.get(name, 0.0) + _used_percent(one) / (psutil.cpu_count() or 1)
    return dict(sorted(((name, share) for name, share in used.items() if share >= 0.5), key=lambda one: -one[1]))


def _used_percent(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    except psutil.Error:
        return 0.0  # it has ended


def quiet(limit_s: float) -> float:
    """Wait until the machine is quiet, or for `limit_s`; return what others use, and say who does."""
    end = time.monotonic() + limit_s
    while True:
        programs = others()
        share = sum(programs.values())
        if share <= QUIET_PERCENT or time.monotonic() > end:
            if share > QUIET_PERCENT:
                named = ", ".join(f"{name} {used:.0f} %" for name, used in programs.items())
                print(f"the machine is not quiet: {named}", flush=True)
            return share


def measure(part: Part, *, is_quick: bool, wait_s: float) -> dict[str, Any]:
    """Run a part; return its rows, when they were measured, and the noise. Raises `CalledProcessError`."""
    before = quiet(wait_s)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{part.name}", *(part.quick if is_quick else part.options)]
        busy_s, own_s = _busy_s(), _own_s()
        began_s = time.monotonic()
        subprocess.run([*command, "--json", str(rows)], cwd=ROOT, check=True)
        all_s = (time.monotonic() - began_s) * (psutil.cpu_count() or 1)
        of_others_s = max(0.0, (_busy_s() - busy_s) - (_own_s() - own_s))
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": version(),
            "before_percent": round(before, 1),
            "meanwhile_percent": round(100 * of_others_s / all_s, 1),
            "rows": json.loads(rows.read_text(encoding="utf-8")),
        }


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def version() -> str:
    """Return what is measured: the commit, with a + where files were changed since; '' outside a checkout."""
    asked = ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def section(results: dict[str, Any]) -> str:
    """Return what the page shows of the results: a table for each part that was measured."""
    shown = []
    for part in PARTS:
        found = results.get(part.name)
        if found is not None:
            noise = Noise(found["before_percent"], found["meanwhile_percent"])
            below = f"{noise.in_words} `python -m benchmarks.{part.name}`, {found['at'][:10]}."
            shown.append(f"### {part.title}\n\n{markdown(found['rows'])}\n\n{below}\n")
    return "\n".join(shown)


def with_section(page: str, results: dict[str, Any]) -> str:
    """Return a page with what stands between its marks replaced."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{section(results)}\n{END}{after}"


def main() -> None:
    """Measure what is missing; write after each part, so that nothing is measured twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], default=[])
    parser.add_argument("--wait-s", type=float, default=600.0)
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for part in [one for one in PARTS if not given.only or one.name in given.only]:
        print(f"== {part.title} (benchmarks.{part.name})", flush=True)
        known = results.get(part.name)
        if known and known["version"] == version() and not (given.again or given.quick):
            print(f"measured on {known['at']}; --again measures it again")
            continue
        found = measure(part, is_quick=given.quick, wait_s=0.0 if given.quick else given.wait_s)
        print(Noise(found["before_percent"], found["meanwhile_percent"]).in_words, flush=True)
        if not given.quick:
            results[part.name] = found
            RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
