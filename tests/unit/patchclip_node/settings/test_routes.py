"""Routes are written as settings; what is wrong with one is named by line and entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.routes import ImageFacts, ImageField
from patchclip_node.settings import read_settings

HEAD = "destinations: [{name: pacs, ae_title: PACS, host: h, port: 1}]\nroutes:\n  - name: mine\n    when:\n"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "node.yaml"
    path.write_text(HEAD + "".join(f"      {line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (["sendr: [A]"], 5, "'routes.0.when.sender' may be meant"),
        (["sender: A"], 5, "must hold a list"),
        (["sender: []"], 5, "name at least one"),
        (["sender: {}"], 5, "say one_of, none_of or missing"),
        (["view: [PA]", "station: {onof: [A]}"], 6, "'routes.0.when.station.one_of' may be meant"),
        (["age: {at_lest: 1}"], 5, "'routes.0.when.age.at_least' may be meant"),
        (["age: {at_least: 65, below: 18}"], 5, "no one is at least 65 and below 18"),
        (["age: {below: -1}"], 5, "greater than or equal to 0"),
        (["age: {}"], 5, "say at_least, below or missing"),
        (["priority: [URGENT]"], 5, "'STAT', 'HIGH', 'ROUTINE', 'LOW' or 'BACKFILL'"),
        (["any:", "  - {sender: [A]}", "  - {sttion: [A]}"], 7, "'routes.0.when.any.1.station' may be meant"),
        (["any: []"], 5, "name at least one"),
        (["all:", "  - none:", "      - viw: [PA]"], 7, "'routes.0.when.all.0.none.0.view' may be meant"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_route(tmp_path: Path, lines: list[str], line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_settings(written(tmp_path, *lines))

    (complaint,) = str(raised.value).splitlines()[1:]
    assert f"line {line}: routes.0.when" in complaint
    assert "(of 'mine')" in complaint
    assert said in complaint


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"hold": {"then": "drop", "after_h": 1}}, "goes with release: held alone"),
        ({"release": "held", "hold": {"then": "drop"}}, "belong together"),
        ({"release": "held", "hold": {"after_h": 3}}, "belong together"),
        ({"release": "hold"}, "'automatic', 'held' or 'never'"),
        ({"release": "held", "hold": {"destinations": ["pasc"]}}, "'pacs' may be meant"),
        ({"release": "held", "hold": {"afterh": 3}}, "'routes.0.hold.after_h' may be meant"),
    ],
)
def test_a_hold_that_contradicts_itself_is_named(route: dict[str, object], said: str) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 1}
    with pytest.raises(ConfigurationError, match=said):
        read_settings(None, routes=[{"name": "mine", **route}], destinations=[pacs])


def test_a_finding_that_the_findings_file_does_not_have_is_named_with_the_one_that_may_be_meant() -> None:
    settings = read_settings(None, routes=[{"name": "mine", "release": "held", "hold": {"findings": ["pneumothrax"]}}])

    with pytest.raises(ConfigurationError, match=r"route mine: hold\.findings: .*'pneumothorax' may be meant"):
        settings.refuse_unknown_findings(["opacity", "pneumothorax"])


def test_a_destination_that_is_none_is_named_with_its_line_and_the_one_that_may_be_meant(tmp_path: Path) -> None:
    path = written(tmp_path, "sender: [A]")
    path.write_text(path.read_text() + "    destinations: [pasc]\n")

    with pytest.raises(ConfigurationError, match=r"line 6: routes\.0\.destinations\.0 \(of 'mine'\).*'pacs' may be"):
        read_settings(path)


def test_two_routes_have_two_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="two routes are named mine"):
        read_settings(None, routes=[{"name": "mine"}, {"name": "mine"}])


@pytest.mark.parametrize(
    ("said", "age", "holds"),
    [("ER1", 40, True), ("ER1", 10, False), ("ER1", None, None), ("WARD", 40, False), ("ERTEST", 40, False)],
)
def test_what_is_written_is_what_is_judged(tmp_path: Path, said: str, age: float | None, holds: bool | None) -> None:
    path = written(
        tmp_path, 'sender: ["ER*"]', "age: {at_least: 18}", "none:", '  - {sender: ["*TEST"]}', "  - {age: {below: 1}}"
    )
    (route,) = read_settings(path).result_plan.routes.routes

    assert route.when.verdict(ImageFacts({ImageField.SENDER: (said,)}, age)).holds is holds
