"""What `doctor` says of the node's two ports: free, taken by this node, or by another program."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from patchclip_node.adapters.reception_file import ReceptionFile
from patchclip_node.bootstrap.ourselves import ourselves, reachable
from patchclip_node.cli.addresses import bind_advice, health_of, why_not_bindable
from patchclip_node.cli.check_result import CheckResult, Status
from patchclip_node.domain.errors import PeerError
from patchclip_node.domain.reception import Reception
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scu.sender import DicomResultSender
from patchclip_node.settings import NodeSettings

_LOOKS: Final = 3


def reception_here(settings: NodeSettings) -> Reception | None:
    """Return what the receiver of this data folder lately said of itself; None where none runs."""
    return ReceptionFile(settings.data_dir).read_fresh()


def runs_here(settings: NodeSettings) -> bool:
    """Tell whether this node's own receiver listens on its port: its data folder says so, which no other node has."""
    reception = reception_here(settings)
    taken = why_not_bindable(settings.host, settings.port) == errno.EADDRINUSE
    return taken and reception is not None and reception.port == settings.port


def dicom_port(settings: NodeSettings) -> Iterator[CheckResult]:
    """The receiver's port is free, or this node already answers on it."""
    where = f"{settings.host}:{settings.port}"
    trouble = why_not_bindable(settings.host, settings.port)
    if trouble is None:
        yield CheckResult("DICOM port", Status.OK, f"{where} is free; the node does not run")
    elif trouble != errno.EADDRINUSE:
        advice = bind_advice(settings.port, "host")
        yield CheckResult("DICOM port", Status.FAIL, f"{where}: {os.strerror(trouble)}", advice)
    elif runs_here(settings):
        yield _our_receiver(settings, where)
    else:
        yield _another(settings, where)


def _our_receiver(settings: NodeSettings, where: str) -> CheckResult:
    reception, us = reception_here(settings), ourselves(settings)
    busy = "" if reception is None else reception.in_words
    calling = DicomResultSender(settings.calling_ae_titles[0] if settings.calling_ae_titles else settings.ae_title)
    try:
        if us.security is None:
            calling.echo(us)
        else:  # callers may be bound to their certificates, and this node is none of them
            calling.presented(us)
    except PeerError as error:
        advice = "the receiver runs, and refuses this call: see which limit; known_callers and limits say who gets in"
        return CheckResult("DICOM port", Status.WARN, f"{where}: {busy}; {error}", advice)
    answers = "answers C-ECHO" if us.security is None else "speaks TLS"
    detail = f"{where}: {settings.ae_title} {answers}; the node is running: {busy}"
    return CheckResult("DICOM port", Status.OK, detail)


def _another(settings: NodeSettings, where: str) -> CheckResult:
    """Say who has the port: what a C-ECHO finds there is not this node, whose data folder knows of no receiver."""
    other = Destination("what listens there", settings.ae_title, reachable(settings.host), settings.port)
    try:
        name = DicomResultSender(settings.ae_title).implementation(other)
    except PeerError as error:
        advice = "stop that program, or choose another `port`"
        return CheckResult("DICOM port", Status.FAIL, f"another program has {where}: {error}", advice)
    detail = f"another DICOM node has {where}: it answers as {settings.ae_title}, its implementation is {name}"
    advice = f"it does not use {settings.data_dir.absolute()}: stop it, or choose another `port` or its data_dir"
    return CheckResult("DICOM port", Status.FAIL, detail, advice)


def web_port(settings: NodeSettings) -> Iterator[CheckResult]:
    """The status pages' port is free, or they already answer on it; and who may see them."""
    web = settings.web
    where = f"{web.host}:{web.port}"
    trouble = why_not_bindable(web.host, web.port)
    if trouble is None:
        yield CheckResult("web port", Status.OK, f"{where} is free")
    elif trouble != errno.EADDRINUSE:
        yield CheckResult(
            "web port", Status.FAIL, f"{where}: {os.strerror(trouble)}", bind_advice(web.port, "web.host")
        )
    else:
        yield _pages(settings, where)
    if not web.is_local and not web.behind_tls:
        advice = "names and passwords travel in clear: put a proxy that speaks TLS before the pages (web.behind_tls)"
        yield CheckResult("web access", Status.WARN, f"the status pages are open to the network ({web.host})", advice)


def _pages(settings: NodeSettings, where: str) -> CheckResult:
    """Tell whose pages answer: this node's have the same report of a receiver as its data folder has."""
    found, is_ours = None, False
    for _ in range(_LOOKS):  # a report may come between two looks
        before = reception_here(settings)
        found = health_of(settings.web.host, settings.web.port)
        reports = {None if one is None else one.reported_at for one in (before, reception_here(settings))}
        is_ours = found is not None and found.receiver_reported_at in reports
        if found is None or is_ours:
            break
    if found is None:
        advice = "another program has this port: stop it, or choose another web.port"
        return CheckResult("web port", Status.FAIL, f"{where} is taken by something else", advice)
    if not is_ours:
        detail = f"the status pages of another node have {where}"
        return CheckResult("web port", Status.FAIL, detail, "stop that node, or choose another web.port")
    whose = "the status pages answer" if found.receiver_reported_at else "status pages answer, and no receiver runs"
    status = Status.OK if found.status == "ok" else Status.WARN
    advice = "" if status is Status.OK else "open /healthz: it lists what is wrong"
    return CheckResult("web port", status, f"{where}: {whose}: {found.status}", advice)
