"""The list is made: an archive is queried, a few days at a time, the newest first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import structlog

from patchclip_node.domain.backfill import ArchivedStudy, Wanted, Window
from patchclip_node.ports.backfill import Archive, BackfillList
from patchclip_node.ports.clock import Clock

MOST_DAYS: Final = 366
"""A window is no longer than that, however few studies it has."""
SHORTEST_S: Final = 60
"""A window of a day's time is not divided any more."""

_DAY_S: Final = 86_400

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """What came of it. cut: windows of which the archive may have more than it answered."""

    found: int
    added: int
    cut: tuple[Window, ...]


class Planner:
    """Lists an archive's studies.

    An archive may end its answer at a number that it does not say. So a window whose answer has as many as `at_most`
    is put again in parts: days, and within one day its time.
    """

    def __init__(
        self,
        archive: Archive,
        listed: BackfillList,
        clock: Clock,
        wanted: Wanted,
        at_most: int,
        show: Callable[[Window, int], None] = lambda *_: None,
    ) -> None:
        """show: is told of each window that is done, and how many studies were found so far."""
        self._archive = archive
        self._listed = listed
        self._clock = clock
        self._wanted = wanted
        self._at_most = at_most
        self._show = show
        self._cut: list[Window] = []

    def run(self, since: date, until: date, stop: threading.Event) -> Planned:
        """List the studies of these days, both included. Raises what `Archive.studies` raises; what is listed stays."""
        found = added = 0
        self._cut = []
        last, days = until, 1
        while last >= since and not stop.is_set():
            window = Window(max(since, last - timedelta(days=days - 1)), last)
            studies, is_cut = self._ask(window)
            if is_cut and window.first < window.last:
                days = max(1, ((window.last - window.first).days + 1) // 2)
                continue
            if is_cut:
                studies |= self._in_parts(window, 0, _DAY_S)
            found += len(studies)
            added += self._listed.add(_newest_first(studies), self._clock.now())
            self._show(window, found)
            if len(studies) < self._at_most / 4:
                days = min(2 * days, MOST_DAYS)
            last = window.first - timedelta(days=1)
        return Planned(found, added, tuple(self._cut))

    def _in_parts(self, day: Window, start_s: int, end_s: int) -> dict[str, ArchivedStudy]:
        middle_s = (start_s + end_s) // 2
        studies: dict[str, ArchivedStudy] = {}
        for first_s, last_s in ((start_s, middle_s), (middle_s, end_s)):
            part = Window(day.first, day.last, (first_s, last_s - 1))
            found, is_cut = self._ask(part)
            studies |= found
            if not is_cut:
                continue
            goes_by_times = all(part.holds(study) for study in found.values())
            if goes_by_times and last_s - first_s > SHORTEST_S:
                studies |= self._in_parts(day, first_s, last_s)
                continue
            log.warning("answer_may_be_cut", window=str(part), studies=len(found))
            self._cut.append(part)
            if not goes_by_times:
                break  # the other half would answer the same
        return studies

    def _ask(self, window: Window) -> tuple[dict[str, ArchivedStudy], bool]:
        """Return the studies of a window, and whether there may be more. What is of other days is left out."""
        day = Window(window.first, window.last)
        studies: dict[str, ArchivedStudy] = {}
        is_cut = False
        for modality in self._wanted.modalities:
            answered, is_whole = self._archive.studies(window, modality)
            is_cut |= not is_whole or len(answered) >= self._at_most
            for study in answered:
                if day.holds(study) and self._wanted.may_have(study.modalities):
                    studies[study.study_instance_uid] = study
        return studies, is_cut


def _newest_first(studies: dict[str, ArchivedStudy]) -> list[ArchivedStudy]:
    return sorted(studies.values(), key=lambda study: (study.study_date, study.study_time), reverse=True)
