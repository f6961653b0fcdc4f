"""What `doctor` says of each destination: C-ECHO both ways, its certificate, and which of our objects it takes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from patchclip_node.bootstrap.ourselves import ourselves
from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.cli.port_checks import runs_here
from patchclip_node.cli.tls_checks import judged
from patchclip_node.dicom.storage import RESULT_SOP_CLASSES, SECONDARY_CAPTURE, STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.variants import ResultKind
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scp.security import AllowedNetworks
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import DestinationSettings, NodeSettings

_SYNTAXES: Final = {
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
}
"""Those that objects are offered in (PS3.5 10)."""

RESULT_NAMES: Final = {**RESULT_SOP_CLASSES, SECONDARY_CAPTURE: STORAGE_SOP_CLASSES[SECONDARY_CAPTURE]}
"""SOP Class UID -> name of all that is sent."""


def destinations(settings: NodeSettings) -> Iterator[CheckResult]:
    """Every destination answers C-ECHO, takes what it is to get, and may call back where it has to."""
    if not settings.destinations:
        advice = "add your PACS under `destinations`, or results stay in the spool"
        yield CheckResult("destinations", Status.WARN, "there are none: results are sent nowhere", advice)
    for item in settings.destinations:
        yield from _there(settings, item)
        yield _back(settings, item)


def _there(settings: NodeSettings, item: DestinationSettings) -> Iterator[CheckResult]:
    name, where = f"destination {item.name}", f"{item.ae_title} at {item.host}:{item.port}"
    sender = DicomResultSender(settings.ae_title)
    try:
        security = settings.security_to(item)
        destination = Destination(
            item.name, item.ae_title, item.host, item.port, confirm=item.confirm, security=security
        )
        certificate = sender.presented(destination)
        sender.echo(destination)
        sender.check_confirmation(destination)
    except PeerError as error:
        advice = f"check host and port, and that it knows the AE title {settings.ae_title} and allows it to store"
        yield CheckResult(name, Status.FAIL, str(error), advice)
        return
    offers = "" if item.confirm is Confirmation.NONE else f", offers confirmation by {item.confirm}"
    yield CheckResult(name, Status.OK, f"{where} answers C-ECHO{offers}")
    if certificate is not None:
        yield judged(f"{name}, TLS", certificate)
    try:
        if settings.forward:
            yield _images(item, sender, destination)
        else:
            yield from _contexts(settings, item, sender, destination)
    except PeerError as error:
        advice = "it answers C-ECHO: allow storage there as well"
        yield CheckResult(f"{name}, storage", Status.FAIL, str(error), advice)


@dataclass(frozen=True, slots=True)
class Offer:
    """A SOP class that a destination may be sent. results: the kinds of its profile; notes, pictures: besides."""

    sop_class_uid: str
    results: tuple[ResultKind, ...] = ()
    notes: bool = False
    pictures: bool = False

    @property
    def uses(self) -> str:
        """For what, in words."""
        besides = (("rejection notes", self.notes), ("pictures instead of what is refused", self.pictures))
        return ", ".join((*self.results, *(words for words, it_is in besides if it_is)))


def offers_to(settings: NodeSettings, item: DestinationSettings) -> list[Offer]:
    """Return all SOP classes that may be sent to a destination."""
    from patchclip_node.results.build import BUILDERS  # who delivers has what builds objects; who receives may not

    def class_of(kind: ResultKind) -> str:
        return str(BUILDERS[kind].sop_class_uid)

    kinds = tuple(dict.fromkeys(variant.kind for variant in settings.variants_for(item)))
    notes, pictures = class_of(ResultKind.KO), class_of(ResultKind.SC)
    falls_back = settings.profile(item.profile).pictures is not None
    uids = dict.fromkeys((*map(class_of, kinds), notes, *([pictures] if falls_back else [])))
    return [
        Offer(uid, tuple(kind for kind in kinds if class_of(kind) == uid), uid == notes, falls_back and uid == pictures)
        for uid in uids
    ]


def _images(item: DestinationSettings, sender: DicomResultSender, destination: Destination) -> CheckResult:
    """Tell which images of this edge receiver the destination would not take, by a real negotiation."""
    name, syntaxes = f"destination {item.name}, images", tuple(TRANSFER_SYNTAXES)
    taken = {uid: sender.accepts(destination, [uid], syntaxes)[uid] for uid in STORAGE_SOP_CLASSES}
    refused = [
        f"{named} as {', '.join(missing)}"
        for uid, named in STORAGE_SOP_CLASSES.items()
        if (missing := [TRANSFER_SYNTAXES[one] for one in syntaxes if one not in taken[uid]])
    ]
    if not refused:
        return CheckResult(name, Status.OK, f"each class is accepted in all {len(syntaxes)} transfer syntaxes")
    advice = "this node acknowledges such images and could not hand them on: allow them there"
    return CheckResult(name, Status.WARN, f"refused: {'; '.join(refused)}", advice)


def _contexts(
    settings: NodeSettings, item: DestinationSettings, sender: DicomResultSender, destination: Destination
) -> Iterator[CheckResult]:
    """One line a SOP class: which of our transfer syntaxes the destination accepts for it, by a real negotiation."""
    offers = offers_to(settings, item)
    taken = sender.accepts(destination, [offer.sop_class_uid for offer in offers])
    falls_back = any(offer.pictures and taken[offer.sop_class_uid] for offer in offers)
    is_complete = all(taken[offer.sop_class_uid] for offer in offers if offer.results)
    for offer in offers:
        accepted = taken[offer.sop_class_uid]
        syntaxes = ", ".join(
            f"{name} {'accepted' if uid in accepted else 'refused'}" for uid, name in _SYNTAXES.items()
        )
        status, advice = (Status.OK, "") if accepted else _refused(offer, falls_back, is_complete)
        name = f"destination {item.name}, {RESULT_NAMES[offer.sop_class_uid]}"
        yield CheckResult(name, status, f"for {offer.uses}: {syntaxes}", advice)


def _refused(offer: Offer, falls_back: bool, is_complete: bool) -> tuple[Status, str]:
    """Return how bad it is that a destination takes a class in no syntax, and what to do."""
    if offer.results and not falls_back:
        return Status.FAIL, "these results would FAIL: allow the class there, or give it another profile"
    if offer.results:
        return Status.WARN, "pictures go instead: allow the class there, or give it another profile"
    if offer.notes:
        return Status.WARN, "what is recalled would stay there unmarked: allow the class there"
    if is_complete:
        return Status.OK, ""
    return Status.WARN, "nothing can go instead of what it refuses: allow the class there"


def _back(settings: NodeSettings, item: DestinationSettings) -> CheckResult:
    """Tell whether the destination's calls are let in, as far as this machine can try it."""
    name = f"destination {item.name}, calls back"
    closed, key = _why_not_let_in(settings, item)
    if closed and item.confirm is Confirmation.COMMITMENT:
        advice = f"it reports storage commitment to this node: add it to {key}"
        return CheckResult(name, Status.FAIL, closed, advice)
    if closed:
        return CheckResult(name, Status.OK, f"{closed}; results do not need that")
    untried = "its key is not here" if settings.tls is not None else "the node does not run"
    if settings.tls is not None or not runs_here(settings):
        return CheckResult(name, Status.OK, f"{item.ae_title} may call this node; not tried, {untried}")
    try:
        DicomResultSender(item.ae_title).echo(ourselves(settings))
    except PeerError as error:
        advice = "this was tried from this machine, by its name: known_callers and limits say who gets in"
        return CheckResult(name, Status.WARN, f"C-ECHO to this node as {item.ae_title}: {error}", advice)
    return CheckResult(name, Status.OK, f"this node answers C-ECHO of {item.ae_title}, tried from this machine")


def _why_not_let_in(settings: NodeSettings, item: DestinationSettings) -> tuple[str, str]:
    """Return why the receiver would not let a destination in, and the key that says so; nothing where it would."""
    if settings.calling_ae_titles and item.ae_title not in settings.calling_ae_titles:
        return f"{item.ae_title} may not call this node: calling_ae_titles does not list it", "calling_ae_titles"
    allowed = AllowedNetworks(settings.allowed_networks)
    outside = sorted(address for address in _addresses(item) if address not in allowed)
    if outside:
        listed = f"calls from {', '.join(outside)} are not listened to: allowed_networks does not have it"
        return listed, "allowed_networks"
    return "", ""


def _addresses(item: DestinationSettings) -> set[str]:
    try:
        found = socket.getaddrinfo(item.host, item.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()  # `destination NAME` says so
    return {str(address[0]) for *_, address in found}
