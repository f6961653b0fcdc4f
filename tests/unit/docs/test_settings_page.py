"""docs/administrator.md names each variable that a setting can be given by; what it shows is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from patchclip_node.settings import NodeSettings, read_settings
from tests.support.docs import in_code, page, table

SECTION = page("docs/administrator.md").split("## Settings in the environment")[1].split("\n## ")[0]
ROWS = table(SECTION, "variables")
EXAMPLES = [in_code(row[1])[0] for row in ROWS]


def variables(model: type[BaseModel], prefix: str = "PATCHCLIP_") -> Iterator[str]:
    """Yield the variable of each setting; of a section, those of its settings."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def test_the_table_has_the_variable_of_each_setting_and_no_other() -> None:
    listed = [name for row in ROWS for name in in_code(row[0])]

    assert sorted(listed) == sorted(variables(NodeSettings))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_changes_its_setting(example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name, _, value = example.partition("=")
    before = read_settings(None)

    monkeypatch.setenv(name, value)

    assert read_settings(None) != before


def test_the_days_of_a_delivery_are_those_of_the_default() -> None:
    (said,) = re.findall(r"`retry.deliver_for_s`, by default (\d+) days", page("docs/administrator.md"))

    assert int(said) * 86_400 == NodeSettings().retry.deliver_for_s


def test_the_disk_that_the_page_names_holds_what_the_defaults_keep() -> None:
    text = page("docs/administrator.md")
    (said,) = re.findall(r"defaults ([\d,]+) images a day fit a disk of (\d+) TB", text)
    (sizes,) = re.findall(r"images of (\d+) MB, with (\d+) MB of results", text)
    images, disk_tb = (int(number.replace(",", "")) for number in said)
    an_image_gb = sum(map(int, sizes)) / 1000
    rows = re.findall(r"^\| (\d+)% .*\| ([\d.]+) GB \| (\d+) \| ([\d.]+) GB \|$", text, flags=re.MULTILINE)
    (together,) = re.findall(r"^\| all \| \| \| ([\d.]+) GB \|$", text, flags=re.MULTILINE)
    retention = NodeSettings().retention

    assert [float(days) for _, _, days, _ in rows] == [retention.returned_days, retention.undelivered_days]
    assert sum(int(percent) for percent, *_ in rows) == 100
    for percent, a_day_gb, days, all_gb in rows:
        assert float(a_day_gb) == pytest.approx(images * int(percent) / 100 * an_image_gb)
        assert float(all_gb) == pytest.approx(float(a_day_gb) * float(days))
    assert float(together) == pytest.approx(sum(float(all_gb) for *_, all_gb in rows))
    assert float(together) < 0.8 * 1000 * disk_tb, "a fifth of the disk is for the ledger, for days above the mean"


def test_the_size_of_an_images_results_is_the_sum_of_what_the_page_names() -> None:
    text = page("docs/administrator.md")
    (extent,) = re.findall(r"image of (\d+) x (\d+) pixels takes ([\d.]+) MB", text)
    rows, columns, image_mb = (float(number) for number in extent)
    parts = [float(number) for number in re.findall(r"([\d.]+) MB of (?:report|findings)", text)]
    (segmentation_mb,) = (float(number) for number in re.findall(r"([\d.]+) MB of segmentation", text))
    (together,) = (float(number) for number in re.findall(r": ([\d.]+) MB\nwith three", text))
    (said,) = (float(number) for number in re.findall(r"with (\d+) MB of results", text))

    assert image_mb == pytest.approx(rows * columns * 2 / 1e6, abs=0.05)
    assert segmentation_mb == pytest.approx(rows * columns / 8 / 1e6, abs=0.005)
    assert together == pytest.approx(sum(parts) + 3 * segmentation_mb, abs=0.05)
    assert together <= said
