"""What a person is told of a running node: troubles that last, told once, and once more when they are over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Level(StrEnum):
    """CRITICAL: studies wait, are refused or are lost sight of now. WARNING: they will, or some of them do."""

    WARNING = "warning"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """What may be wrong; each has a section of docs/monitoring.md."""

    STUDIES = "studies-failed"
    RESULTS = "results-not-delivered"
    DESTINATION = "destination-down"
    SENDER = "sender-quiet"
    DISK = "disk"
    SPOOL = "spool"
    CERTIFICATE = "certificate"
    AUDIT = "audit-lags"
    WORKER = "worker"
    DELIVERER = "deliverer"
    HANGS = "work-hangs"
    CANARY = "canary"


class News(StrEnum):
    """Why a message goes. WORSE: it reached a higher level. GREW: more is affected. REMINDER: it lasts."""

    RAISED = "raised"
    WORSE = "worse"
    GREW = "grew"
    REMINDER = "reminder"
    OVER = "over"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Condition:
    """A trouble as it is found. detail: what is wrong. advice: the next step. Neither speaks of a patient.

    subject: which of its kind, '' where there can be one alone. since: None where that is when it was first seen.
    number: how much is affected. A condition is known by kind and subject.
    """

    kind: AlertKind
    detail: str
    advice: str
    level: Level = Level.CRITICAL
    subject: str = ""
    since: datetime | None = None
    number: int = 1

    @property
    def key(self) -> tuple[AlertKind, str]:
        """What it is known by."""
        return self.kind, self.subject

    @property
    def line(self) -> str:
        """What is wrong, and what to do."""
        return f"{self.detail}; {self.advice}" if self.advice else self.detail


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that was told. told_at: when last; told_number: what its number was then; messages: so far."""

    id: int
    condition: Condition
    raised_at: datetime
    told_at: datetime
    told_number: int
    messages: int
    ended_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """Since when it is so."""
        return self.condition.since or self.raised_at


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of alerts. alert: None for one that is raised. news: None where nothing is told."""

    condition: Condition
    news: News | None
    alert: Alert | None = None


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """What goes to a person. key: the same each time that it is sent. node, host, site: whose it is."""

    key: str
    news: News
    condition: Condition
    at: datetime
    since: datetime
    node: str
    host: str
    site: str = ""

    @property
    def subject(self) -> str:
        """One line, as of a mail."""
        said = {News.OVER: "over", News.TRIAL: "trial"}.get(self.news, self.condition.level.value)
        return f"[{self.node}] {said}: {self.condition.detail}"

    @property
    def text(self) -> str:
        """In words, a paragraph a part."""
        here = f"{self.node} on {self.host}" + (f", {self.site}" if self.site else "")
        heads = {
            News.RAISED: "Since {since}:",
            News.WORSE: "It became worse. Since {since}:",
            News.GREW: "There is more of it. Since {since}:",
            News.REMINDER: "It still lasts. Since {since}:",
            News.OVER: "It is over since {at}. What was told, since {since}:",
            News.TRIAL: "This is a trial message of {at}; nothing is wrong.",
        }
        head = heads[self.news].format(since=_moment(self.since), at=_moment(self.at))
        parts = [f"{head}\n{self.condition.detail}"]
        if self.news is not News.OVER and self.condition.advice:
            parts.append(f"Next step:\n{self.condition.advice}")
        parts.append(f"Where: {here}\nKind: {self.condition.kind} (docs/monitoring.md#{self.condition.kind})")
        return "\n\n".join(parts) + "\n"

    @property
    def values(self) -> dict[str, object]:
        """For programs; times in ISO 8601."""
        return {
            "key": self.key,
            "news": self.news.value,
            "kind": self.condition.kind.value,
            "subject": self.condition.subject,
            "level": self.condition.level.value,
            "detail": self.condition.detail,
            "next_step": self.condition.advice,
            "number": self.condition.number,
            "since": self.since.isoformat(),
            "at": self.at.isoformat(),
            "node": self.node,
            "host": self.host,
            "site": self.site,
        }

    @classmethod
    def from_values(cls, values: dict[str, object]) -> AlertMessage:
        """Return the message of these values."""
        text = {name: str(value) for name, value in values.items()}
        condition = Condition(
            AlertKind(text["kind"]),
            text["detail"],
            text["next_step"],
            Level(text["level"]),
            text["subject"],
            number=int(text["number"]),
        )
        at, since = datetime.fromisoformat(text["at"]), datetime.fromisoformat(text["since"])
        return cls(text["key"], News(text["news"]), condition, at, since, text["node"], text["host"], text["site"])


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When what is told. after_s: a trouble is told once it has lasted, and over once it has been gone, for so long.

    repeat_s: a trouble that lasts is told again after so long. grew_s: one of which there is more, after so long.
    """

    after_s: float
    repeat_s: float
    grew_s: float


class Settling:
    """Holds back what comes and goes: it is true once it has lasted, and false once it has been gone, for `after_s`."""

    def __init__(self, after_s: float) -> None:
        self._after = timedelta(seconds=after_s)
        self._seen: dict[tuple[AlertKind, str], datetime] = {}
        self._missed: dict[tuple[AlertKind, str], datetime] = {}

    def settled(self, found: Iterable[Condition], alerts: Sequence[Alert], now: datetime) -> list[Condition]:
        """Return what is so. Of an alert whose condition is gone for a moment alone its condition as it was told."""
        present = {one.key: one for one in found}
        known = {one.condition.key: one.condition for one in alerts}
        self._seen = {key: self._seen.get(key, now) for key in present}
        self._missed = {key: self._missed.get(key, now) for key in known.keys() - present.keys()}
        lasting = [
            one if one.since is not None else replace(one, since=self._seen[key])
            for key, one in present.items()
            if key in known or now - self._seen[key] >= self._after
        ]
        return lasting + [known[key] for key, since in self._missed.items() if now - since < self._after]


def changes(alerts: Sequence[Alert], found: Sequence[Condition], now: datetime, policy: AlertPolicy) -> list[Change]:
    """Return what changes in the open alerts where these conditions are found, each once.

    An alert that was critical stays so until it is over: what swings between two levels is told of once.
    """
    known = {one.condition.key: one for one in alerts}
    made: list[Change] = []
    for condition in found:
        alert = known.pop(condition.key, None)
        if alert is None:
            made.append(Change(condition, News.RAISED))
            continue
        stays = replace(condition, since=alert.condition.since)
        if alert.condition.level is Level.CRITICAL:
            stays = replace(stays, level=Level.CRITICAL)
        news = _news(alert, stays, now, policy)
        if news is not None or stays != alert.condition:
            made.append(Change(stays, news, alert))
    return made + [Change(alert.condition, News.OVER, alert) for alert in known.values()]


def _news(alert: Alert, condition: Condition, now: datetime, policy: AlertPolicy) -> News | None:
    silent_s = (now - alert.told_at).total_seconds()
    if condition.level is Level.CRITICAL and alert.condition.level is Level.WARNING:
        return News.WORSE
    if condition.number > alert.told_number and silent_s >= policy.grew_s:
        return News.GREW
    return News.REMINDER if silent_s >= policy.repeat_s else None


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
