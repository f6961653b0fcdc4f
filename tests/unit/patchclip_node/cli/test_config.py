"""`config check` and `config show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchclip_node.settings import NodeSettings
from tests.unit.patchclip_node.cli.conftest import Command


def test_a_valid_file_is_said_to_be_valid(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("port: 104\n")

    ended = command("config", "check", "--config", config)

    assert ended.status == 0
    assert f"{config}: the configuration is valid" in ended.out
    assert "no destinations" in ended.out


def test_every_mistake_is_named_by_its_key(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("port: 70000\nweb: {prot: 1}\n")

    ended = command("config", "check", "--config", config)

    assert ended.status == 2
    assert "  line 1: port: " in ended.err
    assert "  line 2: web.prot: " in ended.err


def test_a_findings_file_with_a_mistake_is_found(command: Command, tmp_path: Path) -> None:
    findings, config = tmp_path / "findings.yaml", tmp_path / "node.yaml"
    findings.write_text("findings: []\n")
    config.write_text(f"findings_file: {findings}\n")

    ended = command("config", "check", "--config", config)

    assert ended.status == 2
    assert str(findings) in ended.err


def test_a_mistake_in_the_sites_own_words_is_found(command: Command, tmp_path: Path) -> None:
    words, config = tmp_path / "words.yaml", tmp_path / "node.yaml"
    words.write_text("views: {sideways: []}\n")
    config.write_text(f"radiographs_file: {words}\n")

    ended = command("config", "check", "--config", config)

    assert ended.status == 2
    assert str(words) in ended.err
    assert "sideways" in ended.err


def test_each_value_is_shown_with_where_it_comes_from(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("port: 104\nretry: {backoff_s: 2}\ndestinations: [{name: p, ae_title: P, host: h, port: 1}]\n")
    monkeypatch.setenv("PATCHCLIP_WEB__PORT", "9000")

    rows = {row["key"]: row for row in command("config", "show", "--config", config, "--json").json}

    assert (rows["port"]["value"], rows["port"]["source"]) == (104, "file")
    assert (rows["web.port"]["value"], rows["web.port"]["source"]) == (9000, "environment")
    assert (rows["retry.backoff_s"]["value"], rows["retry.backoff_s"]["source"]) == (2, "file")
    assert (rows["ae_title"]["value"], rows["ae_title"]["source"]) == ("PATCHCLIP", "default")
    assert rows["destinations"]["value"][0]["profile"] == "standard"


def test_the_table_never_shows_a_password(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "node.yaml"
    config.write_text("ledger_url: postgresql://node:hunter2@db/node\nbroker_url: 'redis://:hunter2@queue:6379/0'\n")

    shown = command("config", "show", "--config", config).out

    assert "hunter2" not in shown
    assert "postgresql://node:***@db/node" in shown


def test_the_schema_is_json_that_names_each_setting(command: Command) -> None:
    ended = command("config", "schema")

    assert ended.status == 0
    assert json.loads(ended.out)["properties"].keys() == NodeSettings.model_fields.keys()
