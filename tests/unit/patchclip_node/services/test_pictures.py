"""Pictures that are drawn when someone asks: what they show, and what is said where they can't be drawn."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pydicom
import pytest
from PIL import Image

from patchclip_core.errors import DecoderTimeoutError
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.domain.errors import CannotDrawError, SpoolUnavailableError, StorageFullError
from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.services.pictures import Painter
from tests.support.analysis import FakeDecoder, result_issuer
from tests.support.bench import PACS, Bench, summary_of
from tests.support.fakes import FakeClock, MemorySpool
from tests.support.studies import newest_revision

PICTURES = PACS.model_copy(update={"name": "ohif", "profile": "ohif"})
PICTURE = ResultVariant(ResultKind.SC)


@pytest.fixture
def bench(tmp_path: Path, ledger: SqlLedger, spool: MemorySpool, clock: FakeClock) -> Bench:
    return Bench(tmp_path, ledger, spool, FakeDecoder(), clock=clock)


def painter_of(bench: Bench) -> Painter:
    return Painter(bench.ledger.studies, bench.spool, bench.decoder, result_issuer())


def test_a_picture_is_the_one_that_the_analysis_would_have_drawn(bench: Bench) -> None:
    bench.destinations = (PICTURES,)
    bench.arrive(PatientOrientation=["R", "F"])
    bench.run_one()
    study = bench.study()
    built = next(one.result for one in bench.ledger.studies.results(study.id) if one.result.kind is ResultKind.SC)
    dataset = pydicom.dcmread(io.BytesIO(bench.spool.files[built.spool_key]))
    (image,) = summary_of(study).images

    drawn = painter_of(bench).drawn(study, image, bench.clock.now())

    assert drawn.tobytes() == dataset.PixelData[: len(drawn.tobytes())]
    with Image.open(io.BytesIO(painter_of(bench).picture(study, image, bench.clock.now()))) as opened:
        assert (opened.format, opened.size) == ("JPEG", drawn.size)


def test_what_an_earlier_version_kept_is_shown_as_it_is(bench: Bench) -> None:
    bench.arrive()
    bench.run_one()
    study, kept = bench.study(), bench.spool.write([b"\x89PNG\r\n"]).key
    image = summary_of(study).images[0].model_copy(update={"overlay_key": kept})

    assert painter_of(bench).picture(study, image, bench.clock.now()) == b"\x89PNG\r\n"

    bench.spool.delete(kept)
    with pytest.raises(CannotDrawError, match="no longer in the spool"):
        painter_of(bench).picture(study, image, bench.clock.now())


def test_objects_are_those_that_the_analysis_would_have_built(bench: Bench) -> None:
    bench.destinations = (PICTURES,)
    bench.arrive()
    bench.run_one()
    study = bench.study()
    before = next(one.result for one in bench.ledger.studies.results(study.id) if one.result.kind is ResultKind.SC)

    (later,) = painter_of(bench).build(study, ResultVariant(ResultKind.SC), bench.clock.now())

    assert replace(later, spool_key=before.spool_key) == before
    assert bench.spool.files[later.spool_key] == bench.spool.files[before.spool_key]


def test_a_revision_is_drawn_with_its_own_images_alone(bench: Bench) -> None:
    first = bench.arrive()
    bench.run_one()
    bench.arrive("later.dcm")
    bench.run_one()
    earlier, newest = bench.ledger.studies.revisions("1.2.3")

    of_earlier = painter_of(bench).build(earlier, PICTURE, bench.clock.now())
    of_newest = painter_of(bench).build(newest, PICTURE, bench.clock.now())

    assert (len(of_earlier), len(of_newest)) == (1, 2)
    dataset = pydicom.dcmread(io.BytesIO(bench.spool.files[of_earlier[0].spool_key]))
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == first
    assert newest == newest_revision(bench.ledger)


def without_image(bench: Bench) -> None:
    (record,) = bench.ledger.studies.instances("1.2.3")
    assert record.instance.spool_key is not None
    bench.spool.delete(record.instance.spool_key)


def without_findings(bench: Bench) -> None:
    bench.spool.delete(str(summary_of(bench.study()).images[0].maps_key))


def with_maps_alone(bench: Bench) -> None:
    bench.spool.files[str(summary_of(bench.study()).images[0].maps_key)] = b"no gzip"


@pytest.mark.parametrize("spoil", [without_image, without_findings, with_maps_alone])
def test_what_can_never_be_drawn_says_why_and_leaves_nothing(bench: Bench, spoil: Callable[[Bench], None]) -> None:
    bench.arrive()
    bench.run_one()
    spoil(bench)
    before = dict(bench.spool.files)

    with pytest.raises(CannotDrawError, match=r"no longer in the spool|cannot be read") as caught:
        painter_of(bench).build(bench.study(), PICTURE, bench.clock.now())

    assert not caught.value.may_pass
    assert bench.spool.files == before


@pytest.mark.parametrize(
    ("owner", "method", "error"),
    [
        ("decoder", "read", DecoderTimeoutError("it took too long")),
        ("spool", "local_path", SpoolUnavailableError("the store is away")),
        ("spool", "write", StorageFullError("no room")),
    ],
)
def test_trouble_that_may_pass_is_told_from_what_will_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, owner: str, method: str, error: Exception
) -> None:
    bench.arrive()
    bench.run_one()

    def failing(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(getattr(bench, owner), method, failing)

    with pytest.raises(CannotDrawError, match=str(error)) as caught:
        painter_of(bench).build(bench.study(), PICTURE, bench.clock.now())
    assert caught.value.may_pass
    assert PictureStyle() == PICTURE.picture
