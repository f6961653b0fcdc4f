from __future__ import annotations

from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultKind, ResultVariant
from tests.support.fakes import make_result

SR, TEXT, PICTURE = (ResultVariant(kind) for kind in (ResultKind.SR, ResultKind.TEXT_SR, ResultKind.SC))


def test_what_several_destinations_get_is_built_once() -> None:
    plan = ResultPlan({"pacs": [SR, PICTURE], "old": [TEXT, SR]})

    assert plan.variants == (SR, PICTURE, TEXT)


def test_without_a_destination_the_standard_results_are_built_and_nobody_is_promised_any() -> None:
    plan = ResultPlan({})

    assert plan.variants == STANDARD_VARIANTS
    assert plan.promised([(SR, make_result("1.1"))]) == {}


def test_a_destination_is_promised_what_it_gets_and_was_built() -> None:
    plan = ResultPlan({"pacs": [SR, PICTURE], "old": [TEXT], "viewer": [PICTURE]})
    built = [(SR, make_result("1.1")), (PICTURE, make_result("1.2")), (PICTURE, make_result("1.3"))]

    assert plan.promised(built) == {"pacs": ["1.1", "1.2", "1.3"], "viewer": ["1.2", "1.3"]}
