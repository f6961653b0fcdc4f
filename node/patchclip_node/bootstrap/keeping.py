"""What was brought over an association that the node asked for goes the way of what is sent to it: spool and ledger."""

from __future__ import annotations

from collections.abc import Callable

import structlog

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


def keeper(settings: NodeSettings, ledger: SqlLedger, clock: Clock, archive: Destination) -> Callable[[Brought], int]:
    """Return what keeps an instance and returns the status of its C-STORE: Success once it is durable."""
    spool, limits = open_spool(settings), settings.limits
    room = IncomingRoom(spool.incoming_dir(), spool.free_bytes)
    urgency = UrgencyQuota(limits.urgent_studies_an_hour)
    service = ReceiveService(spool, ledger.arrivals, clock, read_header, limits.max_instance_bytes, urgency)

    def keep(brought: Brought) -> int:
        header = encoded_file_header(brought.sop_class_uid, brought.sop_instance_uid, brought.transfer_syntax_uid)
        data_set = IncomingDataSet(room, limits.max_instance_bytes, header)
        try:
            data_set.write(brought.data_set.getbuffer())
            path = data_set.complete()
            if path is None:
                return _refused(statuses.OUT_OF_RESOURCES, data_set.failure or "the data set is empty", brought)
            service.receive(
                path,
                sha256=data_set.sha256,
                calling_ae_title=archive.ae_title,
                called_ae_title=settings.ae_title,
                peer_address=archive.host,
                expected_sop_class_uid=brought.sop_class_uid,
                expected_sop_instance_uid=brought.sop_instance_uid,
            )
        except Exception as error:  # a boundary: what is wrong with one instance is answered, and the others go on
            if not isinstance(error, (RetryableError, RejectedError, OSError)):
                log.exception("receive_defect", sop_instance_uid=brought.sop_instance_uid)
            return _refused(*failure_of(error), brought)
        finally:
            data_set.discard()
        return statuses.SUCCESS

    return keep


def _refused(status: int, reason: str, brought: Brought) -> int:
    log.warning("instance_refused", sop_instance_uid=brought.sop_instance_uid, status=f"0x{status:04X}", reason=reason)
    return status
