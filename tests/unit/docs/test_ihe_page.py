"""docs/ihe.md: each actor that is claimed names tests that exist, and says what is missing."""

from __future__ import annotations

from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from tests.support.docs import in_code, not_there, page, table

PAGE = page("docs/ihe.md")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
CLAIMED, NOT_CLAIMED = ([row for row in ROWS if len(row) == columns] for columns in (6, 3))


def test_each_actor_that_is_claimed_names_tests_that_exist_and_what_is_missing() -> None:
    rows = [row for row in CLAIMED if row[0] != "profile"]

    assert len(rows) >= 5
    for profile, actor, how_far, transactions, shown_by, missing in rows:
        assert in_code(shown_by), profile
        assert not_there(in_code(shown_by)) == [], profile
        assert how_far == "in part", f"{actor} of {profile}: who says so?"
        assert "RAD-" in transactions or "ITI-" in transactions, profile
        assert missing, profile


def test_what_is_not_claimed_says_why() -> None:
    rows = [row for row in NOT_CLAIMED if row[0] != "profile"]

    assert len(rows) >= 8
    assert all(all(row) for row in rows)


def test_the_product_is_this_one() -> None:
    assert dict(table(PAGE, "item")) == {
        "Vendor": MANUFACTURER,
        "Product": f"{PRODUCT_NAME} {PRODUCT_VERSION}",
        "Date": f"as of version {PRODUCT_VERSION}",
        "DICOM": "[conformance.md](conformance.md)",
    }
