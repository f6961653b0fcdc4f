"""Who draws pictures when someone asks for one: wired with the first, since most processes never draw any."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING

from patchclip_core.terminal import missing_extra
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.wording import load_wordings
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.domain.errors import CannotDrawError
from patchclip_node.domain.records import NewResult, StudyRecord
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.ports.spool import Spool
from patchclip_node.services.study_summary import ImageSummary
from patchclip_node.settings import NodeSettings

if TYPE_CHECKING:
    from patchclip_node.services.analyse import Decoder
    from patchclip_node.services.pictures import Painter


class LatePainter:
    """Draws as `services.pictures.Painter` does, which it makes with the first picture. For several threads."""

    def __init__(self, settings: NodeSettings, ledger: SqlLedger, spool: Spool, decoder: Decoder) -> None:
        self._settings = settings
        self._ledger = ledger
        self._spool = spool
        self._decoder = decoder
        self._made: Painter | None = None
        self._lock = threading.Lock()

    def picture(self, study: StudyRecord, image: ImageSummary, now: datetime) -> bytes:
        """Return the picture of an image as the pages show it, a JPEG or PNG file. Raises `CannotDrawError`."""
        return self._painter().picture(study, image, now)

    def build(self, study: StudyRecord, variant: ResultVariant, now: datetime) -> list[NewResult]:
        """Build a revision's objects of a variant of pictures; see the port."""
        return self._painter().build(study, variant, now)

    def discard(self, results: list[NewResult]) -> None:
        """Delete what was built and is not wanted."""
        self._painter().discard(results)

    def _painter(self) -> Painter:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Painter:
        try:
            # What draws takes 60 MB, and a machine may show pages without being able to draw.
            from patchclip_node.services.analyse.issuer import ResultIssuer  # noqa: PLC0415
            from patchclip_node.services.pictures import Painter  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if (words := missing_extra(error)) is None:
                raise
            raise CannotDrawError(f"this machine cannot draw pictures: {words}") from error
        settings = self._settings
        issuer = ResultIssuer(
            DerivedUidGenerator(), settings.ae_title, load_findings(settings.findings_file), load_wordings()
        )
        return Painter(self._ledger.studies, self._spool, self._decoder, issuer)


__all__ = ["LatePainter"]
