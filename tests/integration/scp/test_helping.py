"""A receiver that is two processes: one port, one count of places, each image once, whichever of them dies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from patchclip_node.adapters.reception_file import ReceptionFile
from tests.peers.dcmtk import storescu
from tests.peers.node import Node, new_node
from tests.peers.processes import wait_until
from tests.peers.radiographs import radiograph, write
from tests.support.scp import associate, close_associations

SENDERS, IMAGES = 6, 8


@contextmanager
def receiving(folder: Path, **settings: object) -> Iterator[tuple[Node, psutil.Process]]:
    node = new_node(folder / "node", [], receivers=2, **settings)
    with node.running("receive") as process:
        yield node, psutil.Process(process.pid)
    close_associations()


def helper_of(node: Node) -> psutil.Process:
    (helper,) = node.helpers
    return helper


def send(node: Node, images: int) -> tuple[set[str], set[str]]:
    """Send images over an association each; return those that were acknowledged, and the others."""
    kept: set[str] = set()
    refused: set[str] = set()
    for _ in range(images):
        image = radiograph()
        association = associate(node, (image.SOPClassUID, image.file_meta.TransferSyntaxUID))
        answer = association.send_c_store(image) if association.is_established else None
        into = kept if answer is not None and answer.get("Status") == 0 else refused
        into.add(str(image.SOPInstanceUID))
        if association.is_established:
            association.release()
    return kept, refused


def test_a_helper_that_is_killed_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    places = 2 * SENDERS  # one that ends gives its place back a moment later
    limits = {
        "min_free_bytes": 0,
        "max_associations": places,
        "max_associations_per_address": places,
        "associations_kept_for_known": 0,
    }
    with receiving(tmp_path, limits=limits) as (node, _), ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(send, node, IMAGES) for _ in range(SENDERS)]
        wait_until(lambda: len(node.studies()) >= SENDERS, "some have arrived", 60)
        helper_of(node).kill()
        acknowledged = set.union(*(one.result()[0] for one in sending))
        wait_until(lambda: node.helpers_begun == 2, "another helper takes associations", 60)

        with node.ledger() as ledger:
            known = {one.study_instance_uid for one in ledger.studies.find(limit=1000)}
            held = {uid for study in known for uid in node.received(study)}
        assert acknowledged <= held
        assert len(acknowledged) > SENDERS
        again = send(node, 1)[0]
        assert len(again) == 1  # no place went with the helper
        reception = ReceptionFile(node.settings.data_dir)
        wait_until(lambda: (told := reception.read()) is not None and told.associations == 0, "all places are free", 20)
    assert not helper_is_left(node)


def helper_is_left(node: Node) -> bool:
    config = str(node.folder)
    return any(config in " ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))


def test_it_admits_by_settings_that_were_applied_and_ends_with_the_receiver_even_while_it_hangs(
    tmp_path: Path,
) -> None:
    with receiving(tmp_path) as (node, receiver):
        image = write(radiograph(), tmp_path / "image.dcm")
        assert "gdcm" not in "".join(one.path for one in helper_of(node).memory_maps())  # no pixel is decoded here
        assert storescu(node.port, image).returncode == 0  # an idle helper serves before the receiver does
        values = yaml.safe_load(node.config.read_text())
        node.config.write_text(yaml.safe_dump(values | {"calling_ae_titles": ["ANOTHER"]}))
        receiver.send_signal(signal.SIGHUP)

        wait_until(lambda: storescu(node.port, image).returncode != 0, "the helper rejects who is not named", 30)

        helper = helper_of(node)
        helper.suspend()
        receiver.kill()
        receiver.wait()
        helper.wait(timeout=20)
