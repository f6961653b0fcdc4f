"""What agreement says, against figures that were worked out by hand and by scikit-learn."""

from __future__ import annotations

import pytest
from sklearn.metrics import cohen_kappa_score, recall_score

from patchclip_node.domain.agreement import AgreementSource, Compared, FindingAgreement, agreement

PAGE, REPORT = AgreementSource.PAGE, AgreementSource.REPORT


def test_a_textbook_table_has_its_kappa() -> None:
    """Fleiss, Statistical Methods for Rates and Proportions: 20, 5, 10, 15 of 50 give 0.4."""
    found = FindingAgreement(PAGE, "opacity", both=20, node_only=5, reader_only=10, neither=15)

    assert found.kappa == pytest.approx(0.4)
    assert found.sensitivity == pytest.approx(20 / 30)
    assert found.specificity == pytest.approx(15 / 20)


def test_answers_are_counted_by_finding_as_scikit_learn_counts_them() -> None:
    node = [True, True, False, False, True, False, True]
    reader = [True, False, False, True, True, False, True]
    mixed = [Compared(PAGE, "opacity", *pair) for pair in zip(node, reader, strict=True)]
    mixed.append(Compared(PAGE, "effusion", node=True, reader=True))

    effusion, opacity = agreement(mixed)

    assert opacity.kappa == pytest.approx(cohen_kappa_score(node, reader))
    assert opacity.sensitivity == pytest.approx(recall_score(reader, node))
    assert (opacity.number, effusion.number) == (7, 1)


def test_what_cannot_be_said_is_not_said() -> None:
    alone = FindingAgreement(PAGE, "opacity", both=3)

    assert (alone.kappa, alone.specificity) == (None, None)
    assert FindingAgreement(PAGE, "opacity").sensitivity is None


def test_sources_are_never_counted_together_and_who_is_not_sure_counts_in_no_share() -> None:
    on_page, in_reports = agreement(
        [
            Compared(REPORT, "opacity", node=True, reader=None),
            Compared(REPORT, "opacity", node=False, reader=None),
            Compared(REPORT, "opacity", node=True, reader=True),
            Compared(PAGE, "opacity", node=True, reader=False),
        ]
    )

    assert (on_page.source, on_page.number, on_page.node_only, on_page.unsure) == (PAGE, 1, 1, 0)
    assert (in_reports.source, in_reports.number, in_reports.both, in_reports.unsure) == (REPORT, 1, 1, 2)
    assert in_reports.sensitivity == 1


def test_few_answers_have_a_wide_interval() -> None:
    """Wilson's interval of 8 of 10 is 0.490 to 0.943 (Newcombe, Stat Med 1998, method 3)."""
    found = FindingAgreement(PAGE, "opacity", both=8, reader_only=2)

    assert found.sensitivity_interval == pytest.approx((0.490, 0.943), abs=0.001)
    assert found.specificity_interval is None
