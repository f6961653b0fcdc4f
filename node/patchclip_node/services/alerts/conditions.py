"""What is wrong with a node beyond its health: failures, destinations, senders, certificates and the canary. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from patchclip_node.domain.alerts import AlertKind, Condition, Level
from patchclip_node.domain.records import DeliveryState, LedgerCounts
from patchclip_node.domain.rhythm import ExpectedSender, Rhythm
from patchclip_node.domain.states import StudyState
from patchclip_node.domain.transport_security import PeerCertificate
from patchclip_node.ports.alerts import DestinationOutage, Duty

FAILED = (StudyState.FAILED, StudyState.PARTLY_RETURNED)
"""Studies of which something is owed, and no process works on it."""
GIVEN_UP = (DeliveryState.FAILED, DeliveryState.CONFLICT)
"""Results that a destination does not get unless a person mends something."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate that the node shows. name: the setting that names it. found: what it is, or why it is refused."""

    name: str
    found: PeerCertificate | str


def failed_studies(counts: LedgerCounts, since: datetime | None) -> Iterator[Condition]:
    """Yield that studies have failed."""
    failed, partly = (counts.studies_by_state.get(state, 0) for state in FAILED)
    if failed + partly:
        detail = f"{failed} studies are FAILED and {partly} PARTLY_RETURNED: their results are not where they belong"
        advice = "`patchclip-node studies list --state FAILED` has the reasons; mend them, then `studies requeue`"
        yield Condition(AlertKind.STUDIES, detail, advice, since=since, number=failed + partly)


def undelivered(by_destination: Mapping[str, int]) -> Iterator[Condition]:
    """Yield which destinations lack results that are not sent any more."""
    for name, number in by_destination.items():
        detail = f"{number} results for {name} were refused, met a conflict about the patient, or were given up"
        advice = "see the page Peers or `patchclip-node studies list` for what it said; mend it, then `studies requeue`"
        yield Condition(AlertKind.RESULTS, detail, advice, subject=name, number=number)


def outages(found: Sequence[DestinationOutage], now: datetime, after_s: float) -> Iterator[Condition]:
    """Yield destinations that take nothing for long."""
    for one in found:
        if now - one.since >= timedelta(seconds=after_s):
            detail = f"the destination {one.destination} takes no results: {one.error}"
            advice = (
                "start it, or see whether its address, AE title or certificate changed; `patchclip-node doctor` tries "
                "it. Results wait, and go by themselves once it is back"
            )
            yield Condition(AlertKind.DESTINATION, detail, advice, subject=one.destination, since=one.since)


def quiet_senders(
    last_images: Mapping[str, datetime],
    rhythms: Collection[Rhythm],
    expected: Collection[ExpectedSender],
    watched_since: datetime,
    now: datetime,
) -> Iterator[Condition]:
    """Yield senders from which nothing came where something was to be expected.

    What the settings say of a sender counts instead of its rhythm; one that never sent counts from `watched_since`.
    """
    said = {one.ae_title: one for one in expected}
    quiet = {name for name, one in said.items() if one.is_quiet(last_images.get(name, watched_since), now)}
    quiet |= {
        one.ae_title
        for one in rhythms
        if one.ae_title not in said
        and one.ae_title in last_images
        and one.silence_is_unlikely(last_images[one.ae_title], now)
    }
    for name in sorted(quiet):
        last = last_images.get(name)
        detail = f"no radiograph from {name} since {last or watched_since:%Y-%m-%d %H:%M} UTC" + (
            "" if last else ", when it began to be watched for"
        )
        advice = (
            f"see whether {name} is off, or sends elsewhere: its queue, its network, and that it has this node's "
            "address, port and AE title. Where the silence is right, say so under alerts.senders"
        )
        yield Condition(AlertKind.SENDER, detail, advice, Level.WARNING, name, last or watched_since)


def certificates(found: Sequence[OwnCertificate], now: datetime, days: float) -> Iterator[Condition]:
    """Yield certificates of the node that are refused, or will be within `days`; an authority above one counts."""
    for one in found:
        advice = f"renew the files that {one.name} names: new ones count without a restart"
        if isinstance(one.found, str):
            yield Condition(AlertKind.CERTIFICATE, one.found, advice, subject=one.name)
            continue
        ends_at = one.found.ends_first_at
        if ends_at - now < timedelta(days=days):
            whose = one.found.subject if ends_at == one.found.expires_at else "an authority of its chain"
            detail = f"the certificate of {one.name} ({whose}) expires at {ends_at:%Y-%m-%d %H:%M} UTC"
            yield Condition(AlertKind.CERTIFICATE, detail, advice, Level.WARNING, one.name)


def canary(duty: Duty | None, now: datetime, late_after_s: float) -> Iterator[Condition]:
    """Yield that the canary did not come through, or that none was sent for so long."""
    if duty is None:
        return
    last = duty.done_at or duty.began_at
    advice = "`patchclip-node doctor` lets a test study go the same way and says where it ends"
    if duty.trouble:
        detail = f"the canary study did not come through the node: {duty.trouble}"
        yield Condition(AlertKind.CANARY, detail, advice, since=last)
    elif now - last >= timedelta(seconds=late_after_s):
        detail = f"no canary study has gone through the node since {last:%Y-%m-%d %H:%M} UTC"
        yield Condition(AlertKind.CANARY, detail, "see that `patchclip-node deliver` runs: it sends them", since=last)
