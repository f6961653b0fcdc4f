from __future__ import annotations

from time import process_time

import pytest
from pydicom import Dataset

from patchclip_node.dicom.orders import MOST_CARRIED_ITEMS, orders
from patchclip_node.results.source import read_facts
from tests.support.headers import chest_image, code


def order(**attributes: str) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def accession_numbers(image: Dataset) -> list[str | None]:
    return [dict(item.values)["AccessionNumber"] for item in read_facts(image).requests]


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ([], 0),
        ([order()], 1),
        ([order()] * 3, 1),
        ([order(AccessionNumber="A1"), order(AccessionNumber="A2")], 2),
        ([order(AccessionNumber="A1")] * 5, 1),
        ([order(), order(AccessionNumber="A1"), order()], 1),
        ([order(AccessionNumber="A1"), order(AccessionNumber="A1", RequestedProcedureID="P1")], 2),
        ([order(AccessionNumber=f"A{number}") for number in range(40)], MOST_CARRIED_ITEMS),
    ],
)
def test_orders_that_say_something_new_are_carried_up_to_a_bound(items: list[Dataset], kept: int) -> None:
    carried = orders(chest_image(RequestAttributesSequence=items))

    assert len(carried) == kept


def test_the_first_orders_are_carried_in_their_order() -> None:
    numbers = [f"A{number}" for number in range(40)]
    image = chest_image(RequestAttributesSequence=[order(AccessionNumber=number) for number in numbers])

    assert accession_numbers(image) == numbers[:MOST_CARRIED_ITEMS]


def test_an_order_that_says_nothing_takes_what_the_image_says() -> None:
    image = chest_image(AccessionNumber="A7", RequestAttributesSequence=[order()] * 4)

    assert accession_numbers(image) == ["A7"]


@pytest.mark.parametrize("item", [order(), order(ScheduledProcedureStepID="S"), order(AccessionNumber="A")])
def test_very_many_orders_are_looked_through_in_no_time(item: Dataset) -> None:
    image = chest_image(RequestAttributesSequence=[item] * 50_000)
    begin = process_time()

    assert len(read_facts(image).requests) == 1
    assert process_time() - begin < 10


def test_a_code_sequence_of_very_many_items_is_bounded_too() -> None:
    image = chest_image(DeidentificationMethodCodeSequence=[code("113100", "Basic Profile", "DCM")] * 1000)

    assert len(read_facts(image).deidentification) == MOST_CARRIED_ITEMS
