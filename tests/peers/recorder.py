"""An archive that accepts all that is proposed, remembers it, and confirms what it has by query and commitment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role, evt

from patchclip_node.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, encoded_report, read_request
from patchclip_node.domain.commitment import CommitmentReport

VERIFICATION = "1.2.840.10008.1.1"


class Recorder:
    """Proposals are (SOP class, transfer syntax, role of who proposes); `node_port`: where it reports to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.proposed: set[tuple[str, str, str]] = set()
        self.max_pdu: set[int] = set()
        self.implementations: set[tuple[str, str]] = set()
        self.stored: list[str] = []
        self.reports = 0
        self._ae = AE("RECORDER")
        self._ae.add_supported_context(VERIFICATION)
        self.node_port = 0

    def __enter__(self) -> Recorder:
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._action),
            (evt.EVT_N_EVENT_REPORT, self._reported),
        ]
        self._server = self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.shutdown()

    def _requested(self, event: evt.Event) -> None:
        requestor, acceptor = event.assoc.requestor, event.assoc.acceptor
        roles = requestor.role_selection
        self.max_pdu.add(int(requestor.maximum_length or 0))
        self.implementations.add((str(requestor.implementation_class_uid), str(requestor.implementation_version_name)))
        accepted = []
        for context in requestor.requested_contexts:
            uid = str(context.abstract_syntax)
            role = roles.get(UID(uid))
            for syntax in context.transfer_syntax:
                self.proposed.add((uid, str(syntax), "SCP" if role is not None and role.scp_role else "SCU"))
            ours = build_context(uid, list(context.transfer_syntax))
            if role is not None:
                ours.scu_role = ours.scp_role = True
            accepted.append(ours)
        acceptor.supported_contexts = accepted

    def _store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPClassUID))
        return 0x0000

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, event.identifier

    def _action(self, event: evt.Event) -> tuple[int, None]:
        asked = read_request(event.action_information)
        event_type, information = encoded_report(CommitmentReport(asked.transaction_uid, asked.objects, {}))
        ae = AE("RECORDER")
        ae.add_requested_context(PUSH_MODEL)
        association = ae.associate(
            "127.0.0.1", self.node_port, ext_neg=[build_role(PUSH_MODEL, scp_role=True)], ae_title="PATCHCLIP"
        )
        status, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        self.reports += status.get("Status") == 0x0000
        association.release()
        return 0x0000, None

    def _reported(self, event: evt.Event) -> tuple[int, None]:
        assert event.event_type == 2  # the node holds nothing of what these requests name
        return 0x0000, None
