"""What every object bears: equipment, UIDs, times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from patchclip_node.domain.variants import ResultKind
from patchclip_node.product import MANUFACTURER, PRODUCT_NAME, PRODUCT_VERSION
from tests.support.objects import object_of
from tests.support.synthetic import TRAINED, HashedUids, analysed, result_context

OPACITY = {"opacity": [(3, 3, 3, 3)]}


def test_contributing_equipment_names_the_acquisition_device_and_this_product_with_its_weights() -> None:
    report = object_of(ResultKind.SR, [analysed(OPACITY)])

    acquisition, product = report.ContributingEquipmentSequence
    assert (acquisition.Manufacturer, acquisition.ManufacturerModelName) == ("Somebody", "Detector 1")
    assert (product.Manufacturer, product.ManufacturerModelName) == (MANUFACTURER, PRODUCT_NAME)
    assert list(product.SoftwareVersions) == [PRODUCT_VERSION, "patchclip-test 1.2.3"]
    assert TRAINED.weights_digest in product.ContributionDescription


def test_other_weights_are_another_device_and_other_results() -> None:
    other = replace(TRAINED, weights_digest="sha256:" + "ef" * 32)
    one, two = (object_of(ResultKind.SR, [analysed(OPACITY, model)]) for model in (TRAINED, other))

    assert one.ContributingEquipmentSequence[-1].DeviceUID != two.ContributingEquipmentSequence[-1].DeviceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID


@pytest.mark.parametrize(
    ("attributes", "date", "time"),
    [
        ({}, "20260102", "110000.123456"),
        ({"TimezoneOffsetFromUTC": "-1130"}, "20260101", "233000.123456"),
        ({"TimezoneOffsetFromUTC": "+0900"}, "20260102", "200000.123456"),
        ({"TimezoneOffsetFromUTC": "-1200"}, "20260101", "230000.123456"),
        ({"TimezoneOffsetFromUTC": "+1400"}, "20260103", "010000.123456"),
    ],
)
def test_times_are_in_the_zone_of_the_source(attributes: dict[str, Any], date: str, time: str) -> None:
    report = object_of(ResultKind.SR, [analysed({}, **attributes)])

    assert (report.ContentDate, report.ContentTime) == (date, time)
    assert (report.InstanceCreationDate, report.SeriesDate) == (date, date)
    assert report.get("TimezoneOffsetFromUTC") == attributes.get("TimezoneOffsetFromUTC")


@pytest.mark.parametrize("offset", ["+9999", "-1201", "+1401", "+0160", "0100", "CET"])
def test_a_time_zone_that_no_place_has_counts_as_absent(offset: str) -> None:
    report = object_of(ResultKind.SR, [analysed({}, TimezoneOffsetFromUTC=offset)])

    assert (report.ContentDate, report.ContentTime) == ("20260102", "110000.123456")
    assert "TimezoneOffsetFromUTC" not in report


def test_nothing_comes_from_the_systems_clock() -> None:
    context = replace(result_context(), now=datetime(1999, 12, 31, 23, 59, tzinfo=UTC), uids=HashedUids())

    report = object_of(ResultKind.SR, [analysed(OPACITY)], [], context)

    today = datetime.now(UTC).strftime("%Y%m%d")
    assert not [
        element for element in report.iterall() if element.VR in {"DA", "DT"} and str(element.value).startswith(today)
    ]
