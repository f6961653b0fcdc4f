"""Kept studies by another model: what changed is said, and neither ledger nor spool changes."""

from __future__ import annotations

from functools import partial

import pytest

from patchclip_core.values.results import Analyzer, FindingState
from patchclip_node.results import ResultContext
from patchclip_node.services.pictures import Painter
from patchclip_node.services.replay import Replay, Said
from tests.support.analysis import FakeDecoder, OpacityEverywhere, result_issuer
from tests.support.fakes import START
from tests.support.marked import Says
from tests.support.synthetic import result_context
from tests.unit.patchclip_node.services.test_returned import UID, Site, site

__all__ = ["site"]


def replayed(site: Site, analyzer: Analyzer) -> Replay:
    def context() -> ResultContext:
        return result_context()

    painter = Painter(site.ledger.studies, site.spool, FakeDecoder(), result_issuer())
    draw = partial(painter.picture, now=START)
    return Replay(site.ledger.studies, site.spool, FakeDecoder(), analyzer, context, draw)


def test_what_another_model_says_otherwise_is_told_and_nothing_is_written(site: Site) -> None:
    before = site.ledger.studies.revisions(UID), dict(site.spool.files)

    study = replayed(site, Says({"pleural_effusion": [(3, 3, 3, 3)]})).run(UID)

    changed = {one.finding: (one.before, one.after) for one in study.changed}
    assert {key for key in changed if key in {"opacity", "pleural_effusion"}} == {"opacity", "pleural_effusion"}
    was, now = changed["pleural_effusion"]
    assert was is not None
    assert now is not None
    assert (was.state.is_found, now.state.is_found) == (False, True)
    (image,) = study.images
    assert image.before_file is not None
    assert image.after_file is not None
    assert image.before_file != image.after_file
    assert (site.ledger.studies.revisions(UID), dict(site.spool.files)) == before


def test_the_same_model_says_the_same(site: Site) -> None:
    study = replayed(site, OpacityEverywhere()).run(UID)

    assert study.changed == []
    (image,) = study.images
    opacity = next(one for one in image.findings if one.finding == "opacity")
    assert opacity.before == opacity.after
    assert opacity.before is not None
    assert opacity.before.state is FindingState.PRESENT


def test_a_study_whose_image_is_gone_or_that_is_unknown_is_named(site: Site) -> None:
    (record,) = site.ledger.studies.instances(UID)
    assert record.instance.spool_key is not None
    site.spool.delete(record.instance.spool_key)

    assert replayed(site, OpacityEverywhere()).run(UID).trouble == "an image is not in the spool"
    with pytest.raises(KeyError):
        replayed(site, OpacityEverywhere()).run("9.9")


def test_a_finding_that_one_model_alone_knows_is_a_change() -> None:
    from patchclip_node.services.replay import Compared

    new = Compared("edema", None, Said(FindingState.PRESENT, 0.9))

    assert new.has_changed
    assert not Compared("edema", new.after, Said(FindingState.PRESENT, 0.7)).has_changed
