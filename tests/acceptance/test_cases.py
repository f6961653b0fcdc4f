"""Small inputs that others drew up, one of a kind, sent to a running node with an archive behind it.

They lie in `cases/` beside the folder that PATCHCLIP_TEST_DATA names, with what is right in EXPECTED.tsv; without them
these tests are skipped. docs/tests.md says which tests hold further variants of each kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, _config

from patchclip_core.io import read_radiograph
from patchclip_node.domain.records import StudyRecord
from patchclip_node.domain.states import StudyState
from patchclip_node.services.study_summary import read_summary
from tests.peers import dcmtk
from tests.peers.dcmtk import Storescp
from tests.peers.node import Node, new_node

CASES = Path(os.environ.get("PATCHCLIP_TEST_DATA", "-"), "..", "cases").resolve()

pytestmark = [
    pytest.mark.peer("dcmtk"),
    pytest.mark.skipif(not (CASES / "EXPECTED.tsv").is_file(), reason="no folder of cases beside PATCHCLIP_TEST_DATA"),
]


@dataclass(frozen=True, slots=True)
class Expected:
    """How a case ends: its state, and words that its reason or its remarks hold."""

    state: StudyState = StudyState.RETURNED
    words: tuple[str, ...] = ()


LEFT_OUT = "Damaged elements of the header were left out"
FROM_THE_IMAGE = "contrast was set from the image's own values"
EXPECTED: Mapping[str, Expected] = {
    "seq_as_lo_viewcode.dcm": Expected(words=(LEFT_OUT, "View Code Sequence")),
    "seq_as_lo_contributing.dcm": Expected(),
    "frames_1_backslash_1.dcm": Expected(words=(LEFT_OUT, "Number of Frames")),
    "padding_one_byte.dcm": Expected(words=(LEFT_OUT, "Pixel Padding Value")),
    "gsps_no_window_16of12.dcm": Expected(words=(FROM_THE_IMAGE,)),
    "gsps_modlut_mono1_white.dcm": Expected(),
    "gsps_voilut_short.dcm": Expected(words=("VOI LUT is cut off",)),
    "gsps_voilut_ob.dcm": Expected(),
    "voilut_16_says_but_12.dcm": Expected(),
    "window_16_on_12.dcm": Expected(words=(FROM_THE_IMAGE,)),
    "descr_hand.dcm": Expected(StudyState.REJECTED, ("hand",)),
    "part_accent.dcm": Expected(),
    "view_seitl.dcm": Expected(StudyState.REJECTED, ("lateral",)),
    "request_items_20000.dcm": Expected(),
    "same_sop_a_first.dcm": Expected(),
    "same_sop_b_corrected.dcm": Expected(),
}
ALONE = "same_sop_b_corrected.dcm"
"""Sent when the rest has ended, since it corrects another."""


def cases() -> list[str]:
    """Every case that lies there; one that is not expected fails."""
    return sorted(path.name for path in CASES.glob("*.dcm"))


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Storescp]]:
    folder = tmp_path_factory.mktemp("cases")
    with dcmtk.storescp(folder / "storescp") as archive:
        everything = {"name": "standard", "objects": ["sr", "gsps", "sc", "text_sr"]}
        node = new_node(folder / "node", [archive.destination], profiles=[everything])
        with node.running():
            yield node, archive


@pytest.fixture(scope="module")
def ended(sent: tuple[Node, Storescp]) -> dict[str, StudyRecord]:
    """Each case and how its study ended."""
    node, _ = sent
    first = [CASES / name for name in cases() if name != ALONE]
    records = _send(node, first)
    return records | _send(node, [CASES / ALONE])


def _send(node: Node, paths: list[Path]) -> dict[str, StudyRecord]:
    """Send files byte for byte, as no well-behaved sender would: storescu mends some of them on the way."""
    entity = AE("MODALITY")
    for path in paths:
        meta = read_file_meta_info(path)
        entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
        association = entity.associate("127.0.0.1", node.port, ae_title="PATCHCLIP")
        assert association.is_established
        for path in paths:
            assert association.send_c_store(path).Status == 0, path.name
        association.release()
    studies = {path.name: str(dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in paths}
    found = node.wait_for_end_of(list(studies.values()), timeout_s=300)
    return {name: found[uid] for name, uid in studies.items()}


@pytest.mark.parametrize("name", cases())
def test_a_case_ends_as_expected(ended: dict[str, StudyRecord], name: str) -> None:
    study, expected = ended[name], EXPECTED[name]

    assert study.state is expected.state, (study.reason, study.error)
    summary = read_summary(study.summary_json)
    said = [study.reason or "", *(summary.images[0].remarks if summary else ())]
    for words in expected.words:
        assert any(words in one for one in said), said


@pytest.mark.parametrize(
    "name", [name for name in cases() if EXPECTED.get(name, Expected()).state is StudyState.RETURNED]
)
def test_its_annotations_show_what_its_picture_and_the_analysis_show(
    sent: tuple[Node, Storescp], ended: dict[str, StudyRecord], name: str, tmp_path: Path
) -> None:
    objects = list(_objects(sent[1], ended[name]))
    states = [one for one in objects if one.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage]

    assert any(one.SOPClassUID == SecondaryCaptureImageStorage for one in objects)
    seen = 255 * read_radiograph(CASES / name).pixels
    for state in states:
        state.save_as(tmp_path / "state.dcm", enforce_file_format=True)
        with Image.open(dcmtk.presented(CASES / name, tmp_path / "state.dcm", tmp_path / "shown.pgm")) as picture:
            shown = np.asarray(picture).astype(float)
        assert abs(shown.mean() - seen.mean()) <= 0.05 * 255
        assert np.abs(np.percentile(shown, (5, 95)) - np.percentile(seen, (5, 95))).max() <= 2


def test_a_table_that_says_16_bits_and_holds_12_is_shown_over_its_whole_range() -> None:
    pixels = read_radiograph(CASES / "voilut_16_says_but_12.dcm").pixels

    assert np.percentile(pixels, 99) > 0.8


def test_twenty_thousand_empty_orders_are_not_repeated(
    sent: tuple[Node, Storescp], ended: dict[str, StudyRecord]
) -> None:
    objects = list(_objects(sent[1], ended["request_items_20000.dcm"]))

    assert objects
    assert all(len(one.get("ReferencedRequestSequence", ())) <= 16 for one in objects)
    assert all(len(one.get("RequestAttributesSequence", ())) <= 16 for one in objects)


@pytest.mark.usefixtures("ended")
def test_a_correction_after_the_return_is_a_revision_whose_results_name_the_corrected_order(
    sent: tuple[Node, Storescp],
) -> None:
    node, archive = sent
    corrected = dcmread(CASES / ALONE, stop_before_pixels=True)
    revisions = [study for study in node.studies() if study.study_instance_uid == corrected.StudyInstanceUID]

    assert {study.revision: study.state for study in revisions} == {1: StudyState.RETURNED, 2: StudyState.RETURNED}
    _assert_corrected(archive, max(revisions, key=lambda study: study.revision), corrected)


def test_a_correction_within_the_quiet_time_is_the_one_that_is_analysed(tmp_path: Path) -> None:
    paths = [CASES / "same_sop_a_first.dcm", CASES / ALONE]
    corrected = dcmread(paths[1], stop_before_pixels=True)
    with dcmtk.storescp(tmp_path / "storescp") as archive:
        node = new_node(tmp_path / "node", [archive.destination])
        with node.running():
            study = _send(node, paths)[ALONE]

    assert (study.state, study.revision) == (StudyState.RETURNED, 1)
    _assert_corrected(archive, study, corrected)


def _assert_corrected(archive: Storescp, study: StudyRecord, corrected: Dataset) -> None:
    assert study.accession_number == corrected.AccessionNumber
    assert any(one.AccessionNumber == corrected.AccessionNumber for one in _objects(archive, study))


def _objects(archive: Storescp, study: StudyRecord) -> Iterator[Dataset]:
    for path in archive.files():
        found = dcmread(path)
        if found.StudyInstanceUID == study.study_instance_uid:
            yield found
