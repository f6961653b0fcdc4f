"""What machines a site needs: a discrete-event model of a node, from what `benchmarks.study_costs` measured.

    python -m benchmarks.capacity [--costs FILE] [--hours 2] [--seed 0] [--check STUDIES_A_SECOND]

Studies of one image come at random (Poisson), and each goes its way: it is received, waits until its study is quiet,
is decoded, analysed and drawn in a lane of a worker, and is sent to one archive. Each step takes its processor time
from one of the machine's cores; a process runs one thing in Python at a time, a model one image on each share of the
processors or one on a GPU, an archive's lane one study. Prints what sites of several sizes get at their peak, and what
their first limit is. `--check` says what the model expects of the burst that `benchmarks.sustained` sends, beside what
that measured on this machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import simpy

from benchmarks.bench import RESULTS
from benchmarks.tables import Row, keep, markdown

_SLICE_S: Final = 0.02
"""How long a core stays with one step while others wait."""
_DAY_S: Final = 86_400

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a processor that a study of one image costs, in each part of a node."""

    receive_s: float
    decode_s: float
    model_s: float
    rest_s: float
    deliver_s: float

    @property
    def cpu_s(self) -> float:
        """All of it."""
        return self.receive_s + self.decode_s + self.model_s + self.rest_s + self.deliver_s

    @staticmethod
    def of(rows: Iterable[Row]) -> Costs:
        """Read what `benchmarks.study_costs` wrote."""
        ms = {str(row["part"]): float(row["CPU ms a study"]) for row in rows}
        wanted = ("receive", "decoding", "work, model", "work, the rest", "deliver")
        return Costs(*(ms[part] / 1000 for part in wanted))


@dataclass(frozen=True, slots=True)
class Site:
    """Machines, and what comes.

    a_day: studies a day. peak_a_second: in the busiest hour. workers: processes with a model. at_once: studies that one
    has at hand. gpu_s: what an image takes on a GPU, None where the model computes on a core. archive_s: how long
    the archive itself takes for the results of a study. image_bytes: of one study.
    """

    name: str
    cores: int
    workers: int
    a_day: int
    peak_a_second: float
    receivers: int = 1
    at_once: int = 2
    gpu_s: float | None = None
    archive_s: float = 0.3
    quiet_s: float = 5.0
    image_bytes: int = 10_000_000

    @property
    def models_at_once(self) -> int:
        """How many images a worker's model sees at the same time: on a GPU one, else one on each share of the cores."""
        return 1 if self.gpu_s is not None else min(self.at_once, max(1, self.cores // self.workers))

    def limits_a_second(self, costs: Costs) -> dict[str, float]:
        """Return how many studies a second each part can carry, if it were the only one."""
        on_cores_s = costs.cpu_s - (costs.model_s if self.gpu_s is not None else 0.0)
        model_s = costs.model_s if self.gpu_s is None else self.gpu_s
        return {
            "cores": self.cores / on_cores_s,
            "receiver": self.receivers / costs.receive_s,
            "model": self.workers * self.models_at_once / model_s,
            "drawing": self.workers / costs.rest_s,
            "archive": 1 / (costs.deliver_s + self.archive_s),
        }


SITES: Final = (
    Site("a small hospital: 4 cores", 4, 1, 300, 0.05),
    Site("a large hospital: 8 cores", 8, 2, 2_000, 0.25),
    Site("the same with a GPU", 8, 1, 2_000, 0.25, gpu_s=0.05),
    Site("50 hospitals: 16 cores", 16, 4, 25_000, 2.0, receivers=2, archive_s=0.2),
    Site("50 hospitals, 8 cores and a GPU", 8, 2, 25_000, 2.0, receivers=2, archive_s=0.2, gpu_s=0.05),
)
"""What the page speaks of. What a GPU takes is an assumption: none was measured."""


@dataclass
class _Worker:
    """A process that analyses: its interpreter and its decoding process do one thing at a time, its model several."""

    interpreter: simpy.Resource
    model: simpy.Resource
    decoder: simpy.Resource


@dataclass
class Run:
    """A simulated node. ended_s: of each study, when it came and when its results were confirmed."""

    site: Site
    costs: Costs
    env: simpy.Environment = field(default_factory=simpy.Environment)
    ended_s: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set the machine up."""
        self._cores = simpy.Resource(self.env, self.site.cores)
        self._receivers = simpy.Resource(self.env, self.site.receivers)
        self._archive = simpy.Resource(self.env, 1)
        self._lanes = simpy.Store(self.env)
        at_once = (1, self.site.models_at_once, 1)
        workers = [_Worker(*(simpy.Resource(self.env, one) for one in at_once)) for _ in range(self.site.workers)]
        self._lanes.items = [worker for _ in range(self.site.at_once) for worker in workers]

    def of(self, arrivals_s: Iterable[float]) -> Run:
        """Let studies come at these times, and all of them end."""
        self.env.process(self._coming(arrivals_s))
        self.env.run()
        return self

    @property
    def beyond_quiet_s(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """From arrival to confirmation without the quiet time, of each study, in the order in which they ended."""
        return np.array([ended - came - self.site.quiet_s for came, ended in self.ended_s])

    @property
    def a_second(self) -> float:
        """Studies a second from the end of the first quiet time to the end of the last study."""
        begun = min(came for came, _ in self.ended_s) + self.site.quiet_s
        return len(self.ended_s) / (max(ended for _, ended in self.ended_s) - begun)

    def _coming(self, arrivals_s: Iterable[float]) -> Process:
        for at_s in arrivals_s:
            yield self.env.timeout(max(0.0, at_s - self.env.now))
            self.env.process(self._study())

    def _study(self) -> Process:
        came_s = self.env.now
        yield from self._alone(self._receivers, self.costs.receive_s)
        yield self.env.timeout(self.site.quiet_s)
        worker = yield self._lanes.get()
        yield from self._alone(worker.decoder, self.costs.decode_s)
        yield from self._analysed(worker)
        yield from self._alone(worker.interpreter, self.costs.rest_s)
        yield self._lanes.put(worker)
        with self._archive.request() as turn:
            yield turn
            yield from self._computed(self.costs.deliver_s)
            yield self.env.timeout(self.site.archive_s)
        self.ended_s.append((came_s, self.env.now))

    def _analysed(self, worker: _Worker) -> Process:
        if self.site.gpu_s is None:
            yield from self._alone(worker.model, self.costs.model_s)
            return
        with worker.model.request() as turn:
            yield turn
            yield self.env.timeout(self.site.gpu_s)

    def _alone(self, resource: simpy.Resource, seconds: float) -> Process:
        with resource.request() as turn:
            yield turn
            yield from self._computed(seconds)

    def _computed(self, seconds: float) -> Process:
        """Use a core, by slices: whoever waits for one has its turn."""
        left_s = seconds
        while left_s > 0:
            with self._cores.request() as turn:
                yield turn
                yield self.env.timeout(min(left_s, _SLICE_S))
            left_s -= _SLICE_S


def poisson(a_second: float, hours: float, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return when studies come that know nothing of each other, in seconds."""
    drawn = np.random.default_rng(seed)
    count = drawn.poisson(a_second * hours * 3600)
    return np.sort(drawn.uniform(0, hours * 3600, count))


def row_of(site: Site, costs: Costs, hours: float, seed: int) -> Row:
    """Simulate a site's busiest hours; return its row of the table."""
    run = Run(site, costs).of(poisson(site.peak_a_second, hours, seed))
    limits = site.limits_a_second(costs)
    first = min(limits, key=lambda part: limits[part])
    median_s, late_s = np.percentile(run.beyond_quiet_s, (50, 95))
    return {
        "site": site.name,
        "studies a day": site.a_day,
        "at the peak, a second": site.peak_a_second,
        "beyond quiet time, median s": round(float(median_s), 2),
        "95 % within s": round(float(late_s), 2),
        "most that it carries, a second": round(limits[first], 2),
        "by": first,
        "in use at the peak": f"{100 * site.peak_a_second / limits[first]:.0f} %",
        "GB a day": round(site.a_day * site.image_bytes / 1e9, 1),
    }


def costs_from(path: Path) -> Costs:
    """Read costs: the rows of `benchmarks.study_costs`, or what `benchmarks.bench` kept of them."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Costs.of(found["study_costs"]["rows"] if isinstance(found, Mapping) else found)


def main() -> None:
    """Simulate; print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, default=RESULTS)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=float, metavar="STUDIES_A_SECOND")
    parser.add_argument("--studies", type=int, default=20, help="of the burst that --check speaks of")
    parser.add_argument("--cores", type=int, default=2, help="of the machine that --check speaks of")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    costs = costs_from(given.costs)
    if given.check is not None:
        burst = Site("this machine", given.cores, 1, 0, 0.0, archive_s=0.02, quiet_s=1.0)
        expected = Run(burst, costs).of([0.0] * given.studies).a_second
        print(f"a burst of {given.studies}: {expected:.2f} a second expected, {given.check:.2f} measured\n")
    rows = [row_of(site, costs, given.hours, given.seed) for site in SITES]
    print(markdown(rows))
    keep(rows, given.json)


if __name__ == "__main__":
    main()
