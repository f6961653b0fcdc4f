"""The list is worked on: one study after another at a set rate, and none while what was sent to the node waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from patchclip_node.domain.backfill import (
    BackfillProgress,
    BackfillState,
    ListedStudy,
    Pace,
    StudyNotPulledError,
    Wanted,
)
from patchclip_node.domain.errors import PeerError, RetryableError
from patchclip_node.ports.backfill import Archive, BackfillList
from patchclip_node.ports.clock import Clock

IN_A_ROW: Final = 20
"""That number of tries that failed one after the other are the archive's or the network's trouble, and no study's."""
NOT_THERE: Final = "the archive does not have it"
CAME_NOT: Final = (
    "the archive says that it was sent, and no image of it has come: is the AE title that it sends to registered there "
    "with this node's address and port, and does the receiver take the archive's calls?"
)

_PROGRESS_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long is waited, in seconds. look_s: before it is looked again whether the node has time.

    first_s, longest_s: before an archive that does not answer, or a study that did not come, is tried again.
    """

    look_s: float = 2.0
    first_s: float = 5.0
    longest_s: float = 600.0


class Puller:
    """Works on the list until it is done. It may be ended at any moment: what was asked for is looked at first."""

    def __init__(
        self,
        listed: BackfillList,
        archive: Archive,
        wanted: Wanted,
        pace: Pace,
        clock: Clock,
        local_now: Callable[[], datetime],
        show: Callable[[BackfillProgress, str], None] = lambda *_: None,
        waits: Waits = Waits(),
    ) -> None:
        """local_now: by the clock on the wall. show: is told how far the list is, and why nothing is pulled now."""
        self._listed = listed
        self._archive = archive
        self._wanted = wanted
        self._pace = pace
        self._clock = clock
        self._local_now = local_now
        self._show = show
        self._waits = waits
        self._failed_in_a_row = 0
        self._shown: tuple[float, str] = (float("-inf"), "")

    def run(self, stop: threading.Event) -> None:
        """Work until nothing is left, or `stop`.

        Raises `ConfigurationError` where the archive has to be set up otherwise, and `RetryableError` where nothing
        comes although the archive answers; the list keeps its place.
        """
        for left in self._listed.asked():
            if stop.is_set():
                return
            if not self._is_whole(left):
                self._pull(left, stop)
        while not stop.is_set():
            if hindrance := self._hindrance():
                self._wait(hindrance, self._waits.look_s, stop)
            elif (study := self._listed.next(self._clock.now())) is not None:
                self._take(study, stop)
            elif self._listed.next_due() is None:
                self._tell("done", now=True)
                return
            else:
                self._wait("only studies that are tried again later are left", self._waits.look_s, stop)

    def _take(self, study: ListedStudy, stop: threading.Event) -> None:
        if study.attempts == 0 and self._listed.knows(study.study_instance_uid):
            self._listed.settle(study.id, BackfillState.HERE, self._clock.now(), "was here before")
            self._tell("")
            return
        began_s = time.monotonic()
        state = self._pull(study, stop)
        self._tell("")
        if state is not BackfillState.SKIPPED:  # of which nothing was brought
            stop.wait(max(0.0, self._pace.interval_s - (time.monotonic() - began_s)))

    def _hindrance(self) -> str:
        """Say why nothing is pulled now; '' where nothing speaks against it."""
        hours, now = self._pace.hours, self._local_now()
        if hours is not None and not hours.hold(now):
            return f"outside backfill.hours, goes on at {hours.next_start(now):%H:%M}"
        if self._listed.at_work(self._pace.yield_above + 1, of_backfill=False) > self._pace.yield_above:
            return "studies that were sent to the node come first"
        if self._listed.at_work(self._pace.ahead, of_backfill=True) >= self._pace.ahead:
            return f"{self._pace.ahead} pulled studies wait for their analysis"
        return ""

    def _pull(self, study: ListedStudy, stop: threading.Event) -> BackfillState | None:
        """Ask for a study until the archive answers; return what it is then, None where it is not settled."""
        if not self._listed.ask(study, self._clock.now()):
            return None  # another process has it
        patiently = Retrying(
            retry=retry_if_exception_type(PeerError),
            wait=wait_exponential(multiplier=self._waits.first_s, max=self._waits.longest_s),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=self._tell_of_outage,
            reraise=True,
        )
        attempt = study.attempts + 1
        try:
            state, reason = patiently(self._pull_once, study, is_last=attempt >= self._pace.attempts)
        except StudyNotPulledError as error:
            self._failed_in_a_row += error.again  # what the archive does not have says nothing of the others
            log.warning("study_not_pulled", study_instance_uid=study.study_instance_uid, reason=str(error))
            if error.again and attempt < self._pace.attempts:
                wait_s = min(self._waits.first_s * 2.0 ** (attempt - 1), self._waits.longest_s)
                self._listed.postpone(study.id, self._clock.now() + timedelta(seconds=wait_s), str(error))
            else:
                self._listed.settle(study.id, BackfillState.FAILED, self._clock.now(), str(error))
            if self._failed_in_a_row >= IN_A_ROW:
                raise RetryableError(
                    f"the last {IN_A_ROW} tries failed, the last one: {error}. Mend that, then give `backfill run` "
                    "again: it goes on where it stopped"
                ) from error
        except PeerError:
            if not stop.is_set():
                raise
        else:
            self._failed_in_a_row = 0
            log.info("study_pulled", study_instance_uid=study.study_instance_uid, state=state.value, reason=reason)
            self._listed.settle(study.id, state, self._clock.now(), reason)
            return state
        return None

    def _pull_once(self, study: ListedStudy, *, is_last: bool) -> tuple[BackfillState, str]:
        """Return what became of it. Raises `StudyNotPulledError`, and `PeerError` where the archive is not there."""
        uid = study.study_instance_uid
        series = self._archive.series(uid)
        if not series:
            raise StudyNotPulledError(NOT_THERE, again=False)
        unwanted = [why for one in series if (why := self._wanted.why_not(one))]
        wanted = [one for one in series if not self._wanted.why_not(one)]
        if not wanted:
            return BackfillState.SKIPPED, f"it has {', '.join(dict.fromkeys(unwanted))}"
        if all(one.instances for one in wanted):
            self._listed.expect(study.id, sum(one.instances for one in wanted))
        missing = self._archive.pull(uid, [one.series_instance_uid for one in wanted] if unwanted else ())
        if not self._listed.images(uid):
            raise StudyNotPulledError(missing or CAME_NOT, again=True)
        if missing and not is_last:
            raise StudyNotPulledError(missing, again=True)
        return BackfillState.HERE, missing

    def _is_whole(self, study: ListedStudy) -> bool:
        """Settle a study that was asked for by a process that ended, where all of it has come."""
        if not study.expected or self._listed.images(study.study_instance_uid) < study.expected:
            return False
        self._listed.settle(study.id, BackfillState.HERE, self._clock.now())
        return True

    def _tell_of_outage(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        log.warning("archive_does_not_answer", reason=str(error), tried_again_in_s=wait_s)
        self._tell(f"{error}; tried again in {wait_s:.0f} s", now=True)

    def _wait(self, why: str, wait_s: float, stop: threading.Event) -> None:
        self._tell(why, now=why != self._shown[1])
        stop.wait(wait_s)

    def _tell(self, why: str, *, now: bool = False) -> None:
        moment_s = time.monotonic()
        if now or moment_s - self._shown[0] >= _PROGRESS_S:
            self._shown = (moment_s, why)
            self._show(self._listed.progress(self._clock.now()), why)
