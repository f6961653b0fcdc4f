"""docs/installation.md: its files, ports, commands and settings are those of docker/ and of the node."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from patchclip_node.cli import app
from patchclip_node.settings import read_settings
from tests.support.containers import FOLDER, ROOT, compose
from tests.support.docs import fenced, page

PAGE = page("docs/installation.md")
SERVICES = compose({"POSTGRES_PASSWORD": "x"})["services"]


def block(language: str) -> str:
    """Return the one indented block of this language."""
    (found,) = re.findall(rf"^   ```{language}\n(.*?)^   ```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^   ", "", str(found), flags=re.MULTILINE)


def test_the_settings_are_accepted_and_name_the_archive_as_the_page_does(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(block("yaml"))
    settings = read_settings(tmp_path / "node.yaml")
    archive = json.loads(block("json"))
    (destination,) = settings.destinations

    assert yaml.safe_load(block("yaml"))["ae_title"] == settings.ae_title
    assert destination.ae_title == archive["DicomAet"]
    assert archive["DicomModalities"] == {"patchclip": [settings.ae_title, "127.0.0.1", settings.port]}
    assert archive.keys() <= json.loads((FOLDER / "orthanc" / "orthanc.json").read_text()).keys()


def test_the_ports_of_the_table_are_those_that_the_box_publishes() -> None:
    named = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)/> \||\| port (\d+)", PAGE) for port in port if port}
    published = {int(port.rsplit(":", 1)[1]) for service in SERVICES.values() for port in service.get("ports", [])}

    assert named == published


def test_the_number_of_services_and_the_volumes_are_those_of_the_box() -> None:
    always = [service for service in SERVICES.values() if "profiles" not in service]
    assert f"starts {['seven', 'eight', 'nine'][len(always) - 7]} services" in PAGE
    (kept,) = re.findall(r"three volumes:\n(.*?)\.", PAGE, flags=re.DOTALL)
    (figures,) = re.findall(r"in two more volumes, (.*?)\.", PAGE)
    named = re.findall(r"`(\w+)`", kept + figures)
    assert sorted(named) == sorted(compose({"POSTGRES_PASSWORD": "x"})["volumes"])


@pytest.mark.parametrize("line", [line for text in fenced(PAGE, "sh") for line in text.splitlines()])
def test_each_file_of_a_command_is_there(line: str) -> None:
    words = [word for word in shlex.split(line) if re.match(r"(docker|node)/", word)]

    assert [word for word in words if word != "docker/.env" and not (ROOT / word).exists()] == []


def test_the_password_command_fills_in_the_line_of_the_example() -> None:
    assert "s/^POSTGRES_PASSWORD=$/" in PAGE
    assert "\nPOSTGRES_PASSWORD=\n" in (FOLDER / ".env.example").read_text()


@pytest.mark.parametrize("line", sorted(set(re.findall(r"patchclip-node ((?:doctor|serve) [^`]*)`", PAGE))))
def test_a_command_of_the_node_can_be_pasted(line: str) -> None:
    name, *words = shlex.split(line)
    command: Any = get_command(app)
    values = [word for word in words if not word.startswith("/etc/")]

    assert name in command.commands
    assert values == ["--config"]
