"""The PATCHCLIP_ variables that settings, tests and pages name are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import TEST_VARIABLES, NodeSettings, read_settings

ROOT = Path(__file__).parents[3]
SETTINGS = {f"PATCHCLIP_{name.upper()}" for name in NodeSettings.model_fields}
_NAME = re.compile(r"\bPATCHCLIP_[A-Z][A-Z0-9_]*[A-Z0-9]\b")


def named_in(*paths: Path) -> set[str]:
    """Return the variables that the files name; of a nested key, its section."""
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {name.split("__")[0] for text in texts for name in _NAME.findall(text)}


MISTYPED = "PATCHCLIP_PROT"
"""What docs/troubleshooting.md shows as a slip."""

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_pages_and_the_run_of_all_checks_name_no_variable_that_the_node_refuses() -> None:
    named = named_in(*PAGES, ROOT / ".ci" / "run") - {MISTYPED}

    assert named <= SETTINGS | TEST_VARIABLES | {"PATCHCLIP_CONFIG"}


def test_what_the_tests_read_is_on_the_list_and_all_of_the_list_is_read() -> None:
    read = re.compile(r"""environ(?:\.get\(|\[)\s*"(PATCHCLIP_\w+)""")
    names = {name for path in ROOT.glob("tests/**/*.py") for name in read.findall(path.read_text(encoding="utf-8"))}

    assert names == TEST_VARIABLES


@pytest.mark.parametrize("name", sorted(TEST_VARIABLES))
def test_a_variable_of_the_tests_stands_in_a_page_and_keeps_no_node_from_starting(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")

    assert read_settings(None) == NodeSettings()
    assert name in named_in(*PAGES)


def test_a_misspelt_one_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHCLIP_TEST_PICTURE", "1")

    with pytest.raises(ConfigurationError, match="PATCHCLIP_TEST_PICTURE names no setting"):
        read_settings(None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (MISTYPED, "1", "PATCHCLIP_PROT names no setting; 'port' may be meant"),
        ("PATCHCLIP_WEB__PROT", "1", "'web.port' may be meant (the environment variable PATCHCLIP_WEB__PROT)"),
        ("PATCHCLIP_WEB", '{"prot": 1}', "'web.port' may be meant (the environment variable PATCHCLIP_WEB)"),
        ("PATCHCLIP_PORT", "wide", "(the environment variable PATCHCLIP_PORT)"),
        (
            "PATCHCLIP_DESTINATIONS",
            '[{"namee": "a"}]',
            "'destinations.0.name' may be meant (the environment variable PATCHCLIP_DESTINATIONS)",
        ),
        ("PATCHCLIP_TLS", "{x", "tls: must hold 'key: value' lines (the environment variable PATCHCLIP_TLS)"),
        ("PATCHCLIP_WEB", "{port", "PATCHCLIP_WEB is not valid JSON: Expecting property name"),
        (
            "PATCHCLIP_DESTINATIONS",
            '[{"name": "a"',
            "PATCHCLIP_DESTINATIONS is not valid JSON: Expecting ',' delimiter",
        ),
        ("PATCHCLIP_CALLING_AE_TITLES", "A,B", "PATCHCLIP_CALLING_AE_TITLES is not valid JSON: Expecting value"),
        ("PATCHCLIP_ALLOWED_NETWORKS", "10.0.0.0/8", "PATCHCLIP_ALLOWED_NETWORKS is not valid JSON: Extra data"),
        ("PATCHCLIP_RENAMED_DESTINATIONS", "", "PATCHCLIP_RENAMED_DESTINATIONS is not valid JSON: Expecting value"),
    ],
)
def test_what_is_wrong_in_a_variable_is_said_with_its_name(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings(None)


def test_a_wrong_key_of_the_file_is_not_blamed_on_a_variable_of_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("web: {prot: 1}", encoding="utf-8")
    monkeypatch.setenv("PATCHCLIP_WEB", '{"host": "localhost"}')

    with pytest.raises(ConfigurationError) as said:
        read_settings(path)

    assert "PATCHCLIP_WEB" not in str(said.value)


def test_bad_json_is_said_without_the_value_which_may_hold_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHCLIP_DESTINATIONS", '["secret-word"')

    with pytest.raises(ConfigurationError) as said:
        read_settings(None)

    assert "secret-word" not in str(said.value)
    assert "\n" not in str(said.value)
