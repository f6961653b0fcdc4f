"""The node as a whole: its queue, its peers, its model, and figures over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from patchclip_core.errors import CheckpointError
from patchclip_core.models.card import ModelCard
from patchclip_node.domain.agreement import AgreementSource, FindingAgreement
from patchclip_node.domain.overview import Bucket, DestinationRecord
from patchclip_node.domain.records import DeliveryState
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.alerts import Alerts
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.ledger import Overview
from patchclip_node.web.audit import PageAudit
from patchclip_node.web.people import RenderPage

_MOST_SHOWN: Final = 200
_INSTANCES_BACK: Final = 5000
_TURNAROUNDS: Final = 500
_OVER: Final = 10
_IN_TROUBLE: Final = (DeliveryState.FAILED, DeliveryState.CONFLICT)
_WAITING: Final = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT)
_LIMITS_S: Final = (5, 10, 20, 30, 60, 120, 300, 600, 3600)
"""Ends of the classes of times until a study was returned, in seconds; the last class has none."""


AGREEMENT_WORDS: Final = {
    AgreementSource.PAGE: "Verdicts on this node's pages, by image",
    AgreementSource.RETURNED: "Objects that readers sent back, by image",
    AgreementSource.REPORT: "Final reports, by study",
}
"""Whose word the node's is compared with -> the title of its table."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go, as the settings have it. name: by which the ledger knows it."""

    name: str
    ae_title: str
    host: str
    port: int
    speaks_tls: bool


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """A destination with what the ledger knows of it. configured: None for one that the settings name no longer."""

    name: str
    configured: Destination | None
    known: DestinationRecord | None

    def objects(self, states: Sequence[DeliveryState]) -> int:
        """Return how many objects are in one of these states."""
        return 0 if self.known is None else sum(self.known.objects_by_state.get(state, 0) for state in states)

    @property
    def health(self) -> str:
        """Say how it is, in a word that the style sheet knows as well."""
        if self.objects(_IN_TROUBLE) or (self.configured is None and self.objects(_WAITING)):
            return "trouble"
        if self.known is None or self.known.last_delivered_at is None:
            return "not tried" if not self.objects(_WAITING) else "waiting"
        return "waiting" if self.known.last_error and self.objects(_WAITING) else "well"


class NodePages:
    """The handlers. read_card: the card of the model that the settings name; raises `CheckpointError`."""

    def __init__(
        self,
        overview: Overview,
        clock: Clock,
        seen: PageAudit,
        destinations: Sequence[Destination],
        read_card: Callable[[], ModelCard],
        alerts: Alerts,
        page: RenderPage,
        agreement: Callable[[], Sequence[FindingAgreement]],
    ) -> None:
        self._overview = overview
        self._alerts = alerts
        self._clock = clock
        self._seen = seen
        self._destinations = {one.name: one for one in destinations}
        self._read_card = read_card
        self._page = page
        self._agreement = agreement

    def queue(self, request: Request) -> Response:
        """Show what waits, in the order of its turn."""
        self._seen.searched(request)
        return self._page(
            request,
            "queue.html",
            now=self._clock.now(),
            analyses=self._overview.queue(_MOST_SHOWN),
            sendings=self._overview.sending(_MOST_SHOWN),
            most=_MOST_SHOWN,
        )

    def peers(self, request: Request) -> Response:
        """Show who sends, where results go, and how that goes."""
        known = {one.name: one for one in self._overview.destinations()}
        names = sorted({*known, *self._destinations})
        return self._page(
            request,
            "peers.html",
            now=self._clock.now(),
            destinations=[DestinationRow(name, self._destinations.get(name), known.get(name)) for name in names],
            waiting=_WAITING,
            in_trouble=_IN_TROUBLE,
            delivered=(DeliveryState.DELIVERED,),
            senders=self._overview.senders(_INSTANCES_BACK),
            instances_back=_INSTANCES_BACK,
        )

    def model(self, request: Request) -> Response:
        """Show the card of the model."""
        try:
            card, problem = self._read_card(), ""
        except CheckpointError as error:
            card, problem = None, str(error)
        return self._page(request, "model.html", card=card, problem=problem)

    def figures(self, request: Request) -> Response:
        """Show how much came when, and how long it took."""
        now = self._clock.now()
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        day = hour.replace(hour=0) + timedelta(days=1) if hour.hour else hour
        return self._page(
            request,
            "figures.html",
            now=now,
            alerts=self._alerts.open(),
            over=self._alerts.recent(_OVER),
            channels=self._alerts.channels(),
            agreement=self._agreement(),
            agreement_words=AGREEMENT_WORDS,
            plots=[
                ("Studies in the last 24 hours", bars(self._overview.arrivals(hour, timedelta(hours=1), 24), "%H")),
                ("Studies in the last 30 days", bars(self._overview.arrivals(day, timedelta(days=1), 30), "%d.")),
                ("Time until results were returned", turnarounds(self._overview.turnaround_s(_TURNAROUNDS))),
            ],
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a plot. height, bad: parts of the highest one; bad: of what failed or was not analysed."""

    label: str
    count: int
    failed: int
    height: float
    bad: float


def bars(buckets: Sequence[Bucket], label: str) -> list[Bar]:
    """Return a bar for each bucket, labelled with its beginning."""
    highest = max((bucket.total for bucket in buckets), default=0) or 1
    troubled = (StudyState.FAILED, StudyState.PARTLY_RETURNED)
    counted = [(bucket, sum(bucket.studies_by_state.get(state, 0) for state in troubled)) for bucket in buckets]
    return [
        Bar(_label(bucket.start, label), bucket.total, bad, bucket.total / highest, bad / highest)
        for bucket, bad in counted
    ]


def turnarounds(seconds: Sequence[float]) -> list[Bar]:
    """Return a bar for each class of times."""
    edges = [0.0, *map(float, _LIMITS_S), float("inf")]
    counts = [sum(low <= one < high for one in seconds) for low, high in pairwise(edges)]
    highest = max(counts) or 1
    labels = [f"<{limit} s" if limit < 120 else f"<{limit // 60} min" for limit in _LIMITS_S] + [">1 h"]
    return [Bar(label, count, 0, count / highest, 0.0) for label, count in zip(labels, counts, strict=True)]


def _label(start: datetime, form: str) -> str:
    return start.astimezone(UTC).strftime(form)


__all__ = ["Destination", "NodePages"]
