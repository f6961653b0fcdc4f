"""Modalities: each sends its images one after another, and sends again what was not acknowledged."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from pydicom import Dataset
from pydicom.uid import generate_uid

from tests.endurance.mutation import DX, encoded
from tests.peers.radiographs import radiograph
from tests.support.scp import associate_request, p_data, received_pdu, request

_ACCEPTED = 0x02
_SUCCESS = struct.pack("<HHLH", 0x0000, 0x0900, 2, 0x0000)
_RELEASE = struct.pack(">BBLL", 0x05, 0, 4, 0)

AGAIN_S = 0.2
"""How long a sender waits before it tries again."""


class Sending:
    """An association, byte by byte: nothing of a library between the test and the node."""

    def __init__(self, port: int, calling: str, timeout_s: float = 30.0, host: str = "127.0.0.1") -> None:
        """Raises `OSError` where the node takes no connection, and `RefusedError` where it takes no association."""
        self._peer = socket.create_connection((host, port), timeout_s)
        try:
            self._peer.sendall(associate_request(DX, calling))
            answer = received_pdu(self._peer)
            if answer[0] != _ACCEPTED:
                raise RefusedError(f"the association was answered {answer.hex()}")
        except BaseException:
            self._peer.close()
            raise

    def store(self, dataset: Dataset) -> None:
        """C-STORE; returns when it is acknowledged. Raises `OSError`, and `RefusedError` for another status."""
        command = request(0x0001, DX, sop_instance_uid=dataset.SOPInstanceUID)
        self._peer.sendall(p_data(1, 0x03, command) + p_data(1, 0x02, encoded(dataset)))
        answer = received_pdu(self._peer)
        if _SUCCESS not in answer:
            raise RefusedError(f"the image was answered {answer!r}")

    def release(self) -> None:
        """Release and close; a node may have gone away meanwhile."""
        with self._peer, contextlib.suppress(OSError, struct.error):
            self._peer.sendall(_RELEASE)
            received_pdu(self._peer)


class RefusedError(Exception):
    """The node said no."""


class Modality(threading.Thread):
    """Sends over one association as long as it lasts, or over another one after `images_an_association`.

    `may_send` is taken once for each image.
    Where one of the node's `hosts` refuses or is silent, the next one is tried.
    """

    def __init__(
        self,
        port: int,
        datasets: Sequence[Dataset],
        may_send: threading.Semaphore,
        hosts: Sequence[str] = ("127.0.0.1",),
        timeout_s: float = 30.0,
        images_an_association: int | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._images_an_association = images_an_association
        self._images_of_association = 0
        self._port = port
        self._hosts = deque(hosts)
        self._timeout_s = timeout_s
        self._datasets = datasets
        self._may_send = may_send
        self._association: Sending | None = None
        self.on_acknowledged: Callable[[Dataset], None] = lambda _: None
        self.acknowledged: list[Dataset] = []
        self.attempts = 0
        self.gives_up = threading.Event()

    def run(self) -> None:
        for dataset in self._datasets:
            self._may_send.acquire()
            while not self.gives_up.is_set():
                self.attempts += 1
                if self._is_stored(dataset):
                    self.on_acknowledged(dataset)
                    self.acknowledged.append(dataset)
                    break
                time.sleep(AGAIN_S)
        self._end()

    def _is_stored(self, dataset: Dataset) -> bool:
        try:
            if self._association is None:
                self._association = Sending(self._port, "MODALITY", self._timeout_s, self._hosts[0])
                self._images_of_association = 0
            self._association.store(dataset)
        except (OSError, struct.error, RefusedError):  # the node was killed, or says that it cannot now
            self._end()
            self._hosts.rotate(-1)
            return False
        self._images_of_association += 1
        if self._images_of_association == self._images_an_association:
            self._end()
        return True

    def _end(self) -> None:
        if self._association is not None:
            self._association.release()
            self._association = None


class Modalities:
    """Several modalities that share the studies out: one frontal image each, every other one with a finding.

    Further images are lateral views, which are kept and not analysed.
    """

    def __init__(
        self,
        port: int,
        studies: int,
        images_a_study: int,
        modalities: int,
        hosts: Sequence[str] = ("127.0.0.1",),
        timeout_s: float = 30.0,
        *,
        of_single_images: int = 0,
    ) -> None:
        """`of_single_images`: how many of the modalities open an association for each image."""
        self._may_send = threading.Semaphore(0)
        self.studies = [str(generate_uid(None)) for _ in range(studies)]
        self.images = studies * images_a_study
        datasets = [
            [_image(study, bright=number % 2 == 0, is_lateral=image > 0) for image in range(images_a_study)]
            for number, study in enumerate(self.studies)
        ]
        shares = [[image for study in datasets[one::modalities] for image in study] for one in range(modalities)]
        self._senders = [
            Modality(
                port,
                share,
                self._may_send,
                [*hosts[number % len(hosts) :], *hosts[: number % len(hosts)]],
                timeout_s,
                images_an_association=1 if number < of_single_images else None,
            )
            for number, share in enumerate(shares)
            if share
        ]

    def send(self, images: int) -> None:
        """Let that many more images go out."""
        self._may_send.release(images)

    def tell(self, on_acknowledged: Callable[[Dataset], None]) -> None:
        """Have a function called in the sender's thread after each acknowledgement."""
        for sender in self._senders:
            sender.on_acknowledged = on_acknowledged

    @property
    def acknowledged(self) -> list[Dataset]:
        return [image for sender in self._senders for image in sender.acknowledged]

    @property
    def attempts(self) -> int:
        """How many C-STORE requests there were."""
        return sum(sender.attempts for sender in self._senders)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        for sender in self._senders:
            sender.start()
        try:
            yield
        finally:
            self.send(self.images)
            for sender in self._senders:
                sender.gives_up.set()
            for sender in self._senders:
                sender.join()


def _image(study_instance_uid: str, *, bright: bool, is_lateral: bool) -> Dataset:
    image = radiograph(study_instance_uid=study_instance_uid, bright=bright, rows=96, columns=64)
    if is_lateral:
        image.ViewPosition = "LL"
    return image
