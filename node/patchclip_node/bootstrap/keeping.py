"""What was brought because the node asked for it goes the way of what is sent to it: spool and ledger."""

from __future__ import annotations

import structlog

from patchclip_node.adapters.dicomweb.parts import Arriving
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.bootstrap.common import open_spool
from patchclip_node.dicom import statuses
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.errors import RejectedError, RetryableError
from patchclip_node.ports.clock import Clock
from patchclip_node.ports.result_sender import Destination
from patchclip_node.scp.failures import failure_of
from patchclip_node.scp.incoming import IncomingDataSet, IncomingRoom
from patchclip_node.scp.messages import encoded_file_header
from patchclip_node.scu.get import Brought
from patchclip_node.services.receive import ReceiveService
from patchclip_node.services.urgency import UrgencyQuota
from patchclip_node.settings import NodeSettings

log = structlog.get_logger(__name__)


class Keeping:
    """Keeps what an archive sends over an association that the node asked for, or as files over the web."""

    def __init__(self, settings: NodeSettings, ledger: SqlLedger, clock: Clock, archive: Destination) -> None:
        """archive: whom the ledger is to name as the sender."""
        spool, limits = open_spool(settings), settings.limits
        urgency = UrgencyQuota(limits.urgent_studies_an_hour)
        self._max_bytes = limits.max_instance_bytes
        self._room = IncomingRoom(spool.incoming_dir(), spool.free_bytes)
        self._service = ReceiveService(spool, ledger.arrivals, clock, read_header, self._max_bytes, urgency)
        self._titles = {"calling_ae_title": archive.ae_title, "called_ae_title": settings.ae_title}
        self._address = archive.host

    def keep(self, brought: Brought) -> int:
        """Keep an instance of a C-STORE; returns its status, Success once it is durable."""
        header = encoded_file_header(brought.sop_class_uid, brought.sop_instance_uid, brought.transfer_syntax_uid)
        data_set = IncomingDataSet(self._room, self._max_bytes, header)
        try:
            data_set.write(brought.data_set.getbuffer())
            status, _ = self._kept(data_set, brought.sop_class_uid, brought.sop_instance_uid)
        finally:
            data_set.discard()
        return status

    def begin(self) -> IncomingDataSet:
        """Return a new file that comes over the web; see `dicomweb.parts.Keeper`."""
        return IncomingDataSet(self._room, self._max_bytes, b"")

    def end(self, file: Arriving) -> str:
        """Keep a file that is whole; returns why not, '' where it is durable."""
        assert isinstance(file, IncomingDataSet)
        return self._kept(file)[1]

    def _kept(self, data_set: IncomingDataSet, sop_class_uid: str = "", sop_instance_uid: str = "") -> tuple[int, str]:
        try:
            path = data_set.complete()
            if path is None:
                refused = statuses.OUT_OF_RESOURCES, data_set.failure or "the data set is empty"
                return _refused(*refused, sop_instance_uid)
            self._service.receive(
                path,
                sha256=data_set.sha256,
                peer_address=self._address,
                expected_sop_class_uid=sop_class_uid or None,
                expected_sop_instance_uid=sop_instance_uid or None,
                **self._titles,
            )
        except Exception as error:  # a boundary: what is wrong with one instance is answered, and the others go on
            if not isinstance(error, (RetryableError, RejectedError, OSError)):
                log.exception("receive_defect", sop_instance_uid=sop_instance_uid)
            return _refused(*failure_of(error), sop_instance_uid)
        return statuses.SUCCESS, ""


def _refused(status: int, reason: str, sop_instance_uid: str) -> tuple[int, str]:
    log.warning("instance_refused", sop_instance_uid=sop_instance_uid, status=f"0x{status:04X}", reason=reason)
    return status, reason
