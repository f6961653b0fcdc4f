"""The worker's model: with tiles where the settings ask for them, warm before the first study, bounded in time."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest

from patchclip_core.checkpoints import checkpoint
from patchclip_core.inference.shares import Shares
from patchclip_core.values.results import Analyzer, Findings, ModelIdentity, Radiograph
from patchclip_node.bootstrap.model import BoundedAnalyzer, load_analyzer
from patchclip_node.bootstrap.worker import build_worker
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import read_settings

BRIGHT = Path(__file__).parents[3] / "plugins" / "bright_checkpoint"


@dataclass
class Seeing:
    """A model that remembers what it is shown."""

    model: Analyzer
    seen: list[Radiograph]

    @property
    def identity(self) -> ModelIdentity:
        return self.model.identity

    @property
    def finding_keys(self) -> tuple[str, ...]:
        return self.model.finding_keys

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        self.seen += radiographs
        return self.model.analyze_batch(radiographs)


def radiograph() -> Radiograph:
    return Radiograph(np.random.default_rng(0).random((300, 260), dtype=np.float32))


@pytest.mark.parametrize(("tiles", "grid_rows"), [(1, 20), (2, 40), (3, 60)])
def test_maps_are_as_fine_as_the_settings_ask_for(tiles: int, grid_rows: int) -> None:
    analyzer = load_analyzer(read_settings(None, tiles=tiles, device="cpu"))

    (findings,) = analyzer.analyze_batch([radiograph()])

    assert findings.geometry.grid.rows == grid_rows


def test_a_model_that_cannot_look_at_tiles_is_named() -> None:
    settings = read_settings(None, tiles=2, model=str(BRIGHT))

    with pytest.raises(ConfigurationError, match="tiles: the model bright-pixels cannot look at tiles; set it to 1"):
        load_analyzer(settings)


def test_a_worker_makes_its_first_pass_before_it_takes_a_study(tmp_path: Path) -> None:
    model = Seeing(checkpoint.load(BRIGHT), [])
    settings = read_settings(None, data_dir=tmp_path / "var")

    with build_worker(settings, lambda: False, lambda name, device: model):
        (first,) = model.seen

    assert not first.pixels.any()


def test_a_bounded_model_finds_what_the_model_finds() -> None:
    model = checkpoint.load("untrained", device="cpu")
    bounded = BoundedAnalyzer(model, timeout_s=60)

    (found,), (expected,) = (which.analyze_batch([radiograph()]) for which in (bounded, model))

    assert isinstance(bounded, Analyzer)
    assert (bounded.identity, bounded.finding_keys) == (model.identity, model.finding_keys)
    assert [item.probability for item in found] == [item.probability for item in expected]


def test_a_bounded_model_sees_one_batch_after_another_whoever_asks() -> None:
    class Counting:
        identity, finding_keys = None, ()
        at_work, most = 0, 0
        threads: ClassVar[set[str]] = set()

        def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.threads.add(threading.current_thread().name)
            time.sleep(0.01)
            self.at_work -= 1
            return []

    model = Counting()
    bounded = BoundedAnalyzer(cast(Analyzer, model), timeout_s=60)

    with ThreadPoolExecutor(4) as lanes:
        list(lanes.map(bounded.analyze_batch, [[radiograph()]] * 8))

    assert model.most == 1
    assert len(model.threads) == 1


def test_a_model_with_shares_sees_as_many_batches_at_a_time_as_it_has_and_no_more() -> None:
    class Sharing:
        identity, finding_keys = None, ()
        asked: ClassVar[list[int]] = []
        at_work: ClassVar[list[str]] = []
        most: ClassVar[set[int]] = set()
        together = threading.Barrier(2)

        def shares(self, at_most: int) -> Shares:
            self.asked.append(at_most)
            return Shares(2, lambda: self.at_work.append("entered"))

        def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
            self.at_work.append("batch")
            self.together.wait(10)
            self.most.add(self.at_work.count("batch"))
            self.together.wait(10)
            self.at_work.remove("batch")
            return []

    model = Sharing()
    bounded = BoundedAnalyzer(cast(Analyzer, model), timeout_s=60, at_once=4)

    with ThreadPoolExecutor(4) as lanes:
        list(lanes.map(bounded.analyze_batch, [[radiograph()]] * 8))

    assert model.asked == [4]
    assert model.most == {2}
    assert model.at_work == ["entered", "entered"], "each thread enters its share once, before its first batch"


HANGING = """
import time
import numpy as np
from patchclip_core.values.results import Radiograph
from patchclip_node.bootstrap.model import BoundedAnalyzer

class Model:
    def analyze_batch(self, radiographs):
        time.sleep(len(radiographs) * {seconds})
        return []

images = [Radiograph(np.zeros((64, 64), dtype=np.float32))] * 2
BoundedAnalyzer(Model(), timeout_s=0.5).analyze_batch(images)
time.sleep(1.5)
print("went on")
"""


def test_a_model_that_hangs_ends_its_process_which_says_where_it_was() -> None:
    started = time.monotonic()

    ended = subprocess.run(
        [sys.executable, "-c", HANGING.format(seconds=60)], capture_output=True, text=True, check=False, timeout=60
    )

    assert ended.returncode == 1
    assert time.monotonic() - started < 30
    # Half a second for each of two images, less what it took to set the timer.
    assert re.search(r"Timeout \(0:00:(01|00\.9\d+)\)!", ended.stderr)
    assert "in analyze_batch" in ended.stderr


def test_a_model_that_answers_in_time_is_left_alone_and_so_is_what_follows() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING.format(seconds=0.01)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "went on", "")


SIDE_BY_SIDE = """
import time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from patchclip_core.inference.shares import Shares
from patchclip_core.values.results import Radiograph
from patchclip_node.bootstrap.model import BoundedAnalyzer

class Model:
    def shares(self, at_most):
        return Shares(at_most, lambda: None)
    def analyze_batch(self, radiographs):
        time.sleep(float(radiographs[0].pixels[0, 0]))
        return []

def image(seconds):
    return [Radiograph(np.full((64, 64), seconds, dtype=np.float32))]

bounded = BoundedAnalyzer(Model(), timeout_s=1.0, at_once=2)
with ThreadPoolExecutor(2) as lanes:
    list(lanes.map(bounded.analyze_batch, map(image, {seconds})))
time.sleep(1.5)
print("went on")
"""


@pytest.mark.parametrize(
    ("seconds", "status", "said"),
    [
        ([60, 0.1], 1, ""),  # the end of the other one takes nothing from its time
        ([0.1, 60], 1, ""),
        ([0.1, 60, 0.1, 0.1], 1, ""),
        ([0.7, 0.1, 0.7, 0.7], 0, "went on"),
    ],
)
def test_each_of_several_batches_has_its_own_time(seconds: list[float], status: int, said: str) -> None:
    script = SIDE_BY_SIDE.format(seconds=seconds)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)

    assert (ended.returncode, ended.stdout.strip()) == (status, said)
    assert ("in analyze_batch" in ended.stderr) is (status == 1)
