"""conf/node.yaml shows every setting, and shows it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.variants import Drawing, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.settings import SHIPPED_PROFILES, DestinationSettings, NodeSettings, ProfileSettings, read_settings

FILE = Path(__file__).parents[3] / "conf" / "node.yaml"


def keys_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return all keys of a settings class, nested."""
    nested: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        nested[name] = keys_of(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return nested


def keys_in(content: Any) -> Any:
    """Return all keys of the file, nested; an empty mapping is a value."""
    return {name: keys_in(value) for name, value in content.items()} if content and isinstance(content, dict) else None


def test_the_file_names_every_setting_and_no_other() -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    assert keys_in(content) == keys_of(NodeSettings)


def test_the_file_equals_the_defaults() -> None:
    assert read_settings(FILE) == read_settings(None)


@pytest.mark.parametrize("key", list(DestinationSettings.model_fields))
def test_the_example_of_a_destination_names_every_key(key: str) -> None:
    assert f" {key}: " in FILE.read_text(encoding="utf-8").split("Each has these keys:")[1].split("destinations:")[0]


@pytest.mark.parametrize("key", list(ProfileSettings.model_fields))
def test_the_example_of_a_profile_names_every_key(key: str) -> None:
    assert f" {key}: " in FILE.read_text(encoding="utf-8").split("Own profiles look so")[1].split("profiles: [")[0]


def test_the_shipped_profiles_are_listed_with_their_objects() -> None:
    lines = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")]
    listed = {line[1]: line[2:] for line in lines if len(line) > 2}

    for profile in SHIPPED_PROFILES:
        if set(profile.objects) == set(ResultKind):
            assert listed[profile.name] == ["everything"]
        else:
            given = listed[profile.name][: len(profile.objects)]
            assert tuple(ResultKind(kind.rstrip(",")) for kind in given) == profile.objects


@pytest.mark.parametrize("profile", SHIPPED_PROFILES, ids=lambda profile: profile.name)
def test_a_destination_that_refuses_what_a_shipped_profile_sends_gets_pictures(profile: ProfileSettings) -> None:
    assert profile.pictures is not None
    assert profile.pictures.kind is ResultKind.SC


def test_a_profile_of_ones_own_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        "profiles: [{name: standard, objects: [seg], geometry: none}]\n"
        "destinations: [{name: d, ae_title: D, host: h, port: 1}]\n"
    )

    settings = read_settings(file)

    assert settings.variants_for(settings.destinations[0]) == (ResultVariant(ResultKind.SEG, PlaneGeometry.NONE),)


def test_a_destinations_own_objects_take_the_place_of_its_profiles() -> None:
    destination = DestinationSettings(name="d", ae_title="D", host="h", port=1, objects=(ResultKind.SC,))

    assert NodeSettings().variants_for(destination) == (ResultVariant(ResultKind.SC),)


def test_a_profile_that_does_not_exist_is_named_with_those_that_do() -> None:
    destination = {"name": "d", "ae_title": "D", "host": "h", "port": 1, "profile": "mine"}

    with pytest.raises(ConfigurationError, match=r"destination d: there is no profile 'mine'.*standard, ohif"):
        read_settings(None, destinations=[destination])


def test_the_example_of_a_destination_is_valid() -> None:
    text = FILE.read_text(encoding="utf-8").split("Each has these keys:")[1].split("destinations:")[0]
    example = yaml.safe_load("\n".join(line.removeprefix("#") for line in text.splitlines()))

    destination = DestinationSettings(**example[0])

    assert destination.objects == DestinationSettings(name="d", ae_title="D", host="h", port=1).objects


def test_a_profile_says_how_each_of_its_objects_looks_and_speaks(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        "profiles:\n"
        "  - name: mine\n"
        "    objects: [sr, fractional_seg, sc]\n"
        "    geometry: none\n"
        "    drawing: heat_map\n"
        "    longest_side_px: 1200\n"
        "    language: de\n"
        "    series_numbers: {sr: 700}\n"
        "    series_descriptions: {sc: Mein Overlay}\n"
        "    fallback: true\n"
    )

    profile = read_settings(file).profile("mine")

    picture = ResultVariant(
        ResultKind.SC,
        drawing=Drawing.HEAT_MAP,
        longest_side_px=1200,
        language="de",
        series_description="Mein Overlay",
    )
    assert profile.variants() == (
        ResultVariant(ResultKind.SR, language="de", series_number=700),
        ResultVariant(ResultKind.FRACTIONAL_SEG, PlaneGeometry.NONE, language="de"),
        picture,
    )
    assert profile.pictures == picture


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("drawing: heatmap", "profiles.0.drawing"),
        ("longest_side_px: 1199", "profiles.0.longest_side_px"),
        ("language: tlh", "profiles.0.language .*'tlh': take one of en, de, fr"),
        ("series_numbers: {sr: 0}", "profiles.0.series_numbers.sr"),
        ("series_numbers: {srr: 1}", "profiles.0.series_numbers.srr"),
        (f"series_descriptions: {{sr: {'x' * 41}}}", "profiles.0.series_descriptions.sr"),
        ("longest_side: 20", "profiles.0.longest_side"),
    ],
)
def test_what_is_wrong_in_a_profile_is_an_error_that_names_the_key(line: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(f"profiles: [{{name: mine, objects: [sr], {line}}}]\n")

    with pytest.raises(ConfigurationError, match=words):
        read_settings(file)


def test_the_example_of_a_profile_is_the_default_but_for_its_objects() -> None:
    text = FILE.read_text(encoding="utf-8").split("replaces it:\n")[1].split("profiles: [")[0]
    example = yaml.safe_load("\n".join(line.removeprefix("#") for line in text.splitlines()))

    profile = ProfileSettings(**example[0])

    assert profile == ProfileSettings(name="mine", objects=profile.objects)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "destinations:\n  - {name: archive, ae_title: A, host: h, port: 104}\n  - name: viewer\n    ae_titel: V\n"
            "    host: h\n    port: 105",
            "line 4: destinations.1.ae_titel (of 'viewer'): the configuration has no key 'destinations.1.ae_titel'; "
            "'destinations.1.ae_title' may be meant",
        ),
        (
            "destinations:\n  - {name: archive, ae_title: A, host: h, port: 70000}",
            "line 2: destinations.0.port (of 'archive'): ",
        ),
        ("web:\n  prot: 8080", "line 2: web.prot: the configuration has no key 'web.prot'; 'web.port' may be meant"),
        ("profiles:\n- name: mine\n  objects: [sr]\n  lengthy: de", "line 4: profiles.0.lengthy (of 'mine'): "),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_whose_it_is(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError) as refused:
        read_settings(file)

    assert f"\n  {problem}" in str(refused.value)
