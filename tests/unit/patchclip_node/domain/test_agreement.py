"""What agreement says, against figures that were worked out by hand and by scikit-learn."""

from __future__ import annotations

import pytest
from sklearn.metrics import cohen_kappa_score, recall_score

from patchclip_node.domain.agreement import FindingAgreement, agreement


def test_a_textbook_table_has_its_kappa() -> None:
    """Fleiss, Statistical Methods for Rates and Proportions: 20, 5, 10, 15 of 50 give 0.4."""
    found = FindingAgreement("opacity", both=20, node_only=5, reader_only=10, neither=15)

    assert found.kappa == pytest.approx(0.4)
    assert found.sensitivity == pytest.approx(20 / 30)
    assert found.specificity == pytest.approx(15 / 20)


def test_answers_are_counted_by_finding_as_scikit_learn_counts_them() -> None:
    node = [True, True, False, False, True, False, True]
    reader = [True, False, False, True, True, False, True]
    mixed = [("opacity", *pair) for pair in zip(node, reader, strict=True)] + [("effusion", True, True)]

    effusion, opacity = agreement(mixed)

    assert opacity.kappa == pytest.approx(cohen_kappa_score(node, reader))
    assert opacity.sensitivity == pytest.approx(recall_score(reader, node))
    assert (opacity.number, effusion.number) == (7, 1)


def test_what_cannot_be_said_is_not_said() -> None:
    alone = FindingAgreement("opacity", both=3)

    assert (alone.kappa, alone.specificity) == (None, None)
    assert FindingAgreement("opacity").sensitivity is None
