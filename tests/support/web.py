"""What the pages show beside the ledger, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from patchclip_core.checkpoints import checkpoint
from patchclip_core.values.definitions import load_findings
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.audit.message import build_message
from patchclip_node.audit.reading import Told, read_message
from patchclip_node.audit.values import AuditSource
from patchclip_node.ports.spool import Spool
from patchclip_node.services.pictures import Painter
from patchclip_node.web import Shown
from patchclip_node.web.metrics import SlowFigures
from patchclip_node.web.node_pages import Destination
from patchclip_node.web.study import ViewerLink
from tests.support.analysis import FakeDecoder, result_issuer
from tests.support.fakes import FakeClock


def shown(ledger: SqlLedger, spool: Spool, viewer: str = "https://viewer.example/?study={study_instance_uid}") -> Shown:
    """Return the shipped findings and model, one destination, and the trail as the ledger holds it."""

    def read_trail(_: str) -> Iterable[Told]:
        return [read_message(build_message(one.event, AuditSource("A", "node"))) for one in ledger.audit.pending(0)]

    return Shown(
        decoder=FakeDecoder(),
        draw=Painter(ledger.studies, spool, FakeDecoder(), result_issuer()).picture,
        definitions=load_findings(),
        destinations=[Destination("pacs", "PACS", "pacs.example", 104, speaks_tls=False)],
        read_card=lambda: checkpoint.read_card(checkpoint.find("demo")),
        read_trail=read_trail,
        trail_uri="file:///audit",
        viewer=ViewerLink("OHIF", viewer),
    )


def slow_figures(ledger: SqlLedger) -> SlowFigures:
    """Return drift and agreement of a ledger, against the shipped model's card."""
    card = checkpoint.find("demo")
    return SlowFigures(ledger.figures, ledger.verdicts, lambda: checkpoint.read_card(card), FakeClock())
