"""SECURITY.md and docs/security/: what they claim names a test, what they list is there, what they tell can be done."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from patchclip_node import product
from patchclip_node.cli import app
from patchclip_node.settings import NodeSettings, read_settings
from tests.support.containers import compose
from tests.support.docs import ROOT, fenced, in_code, not_there, page, table

THREATS = page("docs/security/threat-model.md")
GUIDE = page("docs/security/hardening.md")
PORTS = page("docs/security/ports.md")
RELEASE = page("docs/security/release.md")
ROWS = [
    [cell.strip() for cell in row.split(" | ")]
    for row in re.findall(r"^\| (F\d+-\w+ \| .*) \|$", THREATS, flags=re.MULTILINE)
]
with (ROOT / "docs" / "security" / "mds2.csv").open(encoding="utf-8", newline="") as _file:
    ANSWERS = list(csv.DictReader(_file))

FORM = {
    "DOC": 15, "MPII": 22, "ALOF": 2, "AUDT": 30, "AUTH": 8, "CSUP": 34, "DIDT": 2, "DTBK": 6, "EMRG": 1, "IGAU": 2,
    "MLDP": 15, "NAUT": 4, "CONN": 19, "PAUT": 16, "PLOK": 4, "RDMP": 4, "SBOM": 8, "SAHD": 22, "SGUD": 5, "STCF": 7,
    "TXCF": 6, "TXIG": 2, "RMOT": 6,
}  # fmt: skip
"""How many questions each section of ANSI/NEMA HN 1-2019 has."""


def test_a_test_that_does_not_exist_is_seen() -> None:
    here = "tests/unit/docs/test_security_papers.py"

    assert not_there([f"{here}::test_a_test_that_does_not_exist_is_seen"]) == []
    lacking = [f"{here}::test_of_nothing", "tests/unit/no_file.py::test_it", here, f"{here}::defined_in", "in words"]
    assert not_there(lacking) == lacking


def test_each_row_of_the_threat_model_names_tests_that_exist() -> None:
    assert len(ROWS) >= 50
    for row in ROWS:
        assert len(row) == 5, row
        assert all(row), f"{row[0]} has an empty cell"
        assert in_code(row[3]), f"{row[0]} names no test"
        assert not_there(in_code(row[3])) == [], row[0]


def test_the_threats_are_numbered_once_under_their_flow_by_a_letter_of_stride() -> None:
    parts = re.split(r"^### (F\d+) .*$", THREATS, flags=re.MULTILINE)[1:]
    flows = dict(zip(parts[::2], parts[1::2], strict=True))

    assert list(flows) == [f"F{number}" for number in range(1, len(flows) + 1)]
    assert max(Counter(row[0] for row in ROWS).values()) == 1
    for flow, text in flows.items():
        rows = re.findall(r"^\| (F\d+)-([STRIDE])\d? \|", text, flags=re.MULTILINE)
        assert {name for name, _ in rows} == {flow}


def test_the_picture_shows_each_flow_of_the_threat_model() -> None:
    picture = (ROOT / "docs" / "security" / "data-flow.svg").read_text(encoding="utf-8")

    assert "(data-flow.svg)" in THREATS
    assert set(re.findall(r"\bF\d+\b", picture)) == set(re.findall(r"^### (F\d+)", THREATS, flags=re.MULTILINE))


def test_each_yes_of_mds2_names_a_test_that_exists() -> None:
    assert {row["answer"] for row in ANSWERS} == {"yes", "no", "n/a", "see note"}
    for row in ANSWERS:
        named = row["tests"].split()
        assert named or row["answer"] != "yes", f"{row['id']}: yes, and no test"
        assert row["note"] or row["answer"] != "see note", f"{row['id']}: no note to see"
        assert not_there(named) == [], row["id"]


def test_mds2_answers_each_question_of_the_form_once() -> None:
    ids = [row["id"] for row in ANSWERS]

    assert Counter(name.partition("-")[0] for name in ids) == FORM
    assert max(Counter(ids).values()) == 1
    assert [name for name in ids if "." in name and name.rpartition(".")[0] not in ids] == []
    assert all(row["question"] for row in ANSWERS)


def test_each_page_that_an_answer_sends_to_is_there() -> None:
    named = {file for row in ANSWERS for file in re.findall(r"[\w./-]+\.(?:md|csv|svg)\b", row["note"])}

    assert len(named) > 5
    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_every_port_of_the_settings_and_of_the_box_is_in_the_table() -> None:
    settings = NodeSettings()
    listens = {in_code(row[1])[0]: (row[0], *in_code(row[2])) for row in table(PORTS, "port | setting")}
    published = {(row[0], in_code(row[1])[0], row[2]) for row in table(PORTS, "port | service")}
    box = {
        (
            text.rsplit(":", 1)[1],
            name,
            "loopback" if "PAGES_ADDRESS" in text or "127.0.0.1" in text else "every interface",
        )
        for name, service in yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"].items()
        for text in service.get("ports", [])
    }

    assert listens == {
        "port": (str(settings.port), settings.host),
        "web.port": (str(settings.web.port), settings.web.host),
    }
    assert published == box
    called = {in_code(row[1])[0].partition(".")[0] for row in table(PORTS, "to")}
    assert {"destinations", "known_callers", "ledger_url", "broker_url"} <= called <= set(NodeSettings.model_fields)


def test_what_the_box_calls_inside_is_told() -> None:
    services = compose({"POSTGRES_PASSWORD": "x"})["services"]
    (inside,) = re.findall(r"^Inside the box only: (.*)$", PORTS, flags=re.MULTILINE)
    urls = " ".join(str(value) for value in services["worker"]["environment"].values())

    for name, port in re.findall(r"@?\b(postgres|redis):(\d+)", urls):
        assert f"{port} of `{name}`" in inside


def test_the_policy_names_the_version_and_the_private_way() -> None:
    policy = page("SECURITY.md")
    minor = ".".join(product.PRODUCT_VERSION.split(".")[:2])

    assert f"| {minor}.x | yes" in policy
    assert "security advisory" in policy
    assert "Do not\nopen a public issue" in policy
    assert re.findall(r"[\w.]+@[\w.]+|https?://", policy) == []


@pytest.mark.parametrize(
    "heading",
    ["Operating system", "Network", "TLS", "Accounts", "Files", "Redis and PostgreSQL", "Backups", "Updates", "Scans"],
)
def test_each_section_that_a_reviewer_asks_for_is_there(heading: str) -> None:
    (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE, flags=re.MULTILINE | re.DOTALL)

    assert "```" in text


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, those inside a list as well, without their indent."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_the_settings_of_the_guide_are_accepted(tmp_path: Path) -> None:
    assert len(blocks(GUIDE, "yaml")) >= 5
    for number, block in enumerate(blocks(GUIDE, "yaml")):
        (tmp_path / f"{number}.yaml").write_text(block)
        settings = read_settings(tmp_path / f"{number}.yaml")
        assert settings != NodeSettings(), block


@pytest.mark.parametrize("text", [GUIDE, RELEASE], ids=["hardening", "release"])
def test_the_shell_takes_each_command(text: str) -> None:
    assert blocks(text, "sh")
    for block in blocks(text, "sh"):
        checked = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{block}\n{checked.stderr}"


def test_each_command_of_the_node_and_each_file_of_a_command_is_there() -> None:
    lines = [line for text in (GUIDE, RELEASE) for block in blocks(text, "sh") for line in block.splitlines()]
    known: Any = get_command(app)
    calls = [shlex.split(line) for line in lines if "patchclip-node" in line]
    files = {word for line in lines for word in shlex.split(line) if re.match(r"(tools|requirements)[/.]", word)}

    assert calls
    for _, name, *words in calls:
        command = known.commands[name]
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, name
    assert {"requirements.lock", "tools/release.sh", "tools/sbom.py"} <= files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_service_runs_the_node_and_may_write_into_its_folder_alone() -> None:
    unit = page("packaging/systemd/patchclip.service")
    options = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)

    assert options["ExecStart"].split()[1:] == ["serve", "--config", "/etc/patchclip/node.yaml"]
    assert options["ReadWritePaths"] == options["WorkingDirectory"] == "/var/lib/patchclip"
    assert (options["ProtectSystem"], options["NoNewPrivileges"], options["CapabilityBoundingSet"]) == (
        "strict",
        "yes",
        "",
    )


@pytest.mark.peer("openssl")
def test_the_key_and_the_request_are_made_as_the_guide_tells(tmp_path: Path) -> None:
    (line,) = [line for block in blocks(GUIDE, "sh") for line in block.splitlines() if line.startswith("openssl req")]
    command = [word.replace("/etc/patchclip", str(tmp_path)) for word in shlex.split(line)]

    subprocess.run(command, check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "req", "-in", tmp_path / "node.csr", "-noout", "-text", "-verify"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert "DNS:node.example" in shown
    assert "3072 bit" in shown
    assert "BEGIN PRIVATE KEY" in (tmp_path / "node.key").read_text()


def test_the_release_page_lists_what_the_script_makes() -> None:
    script = page("tools/release.sh")
    listed = {name for row in table(RELEASE, "file") for name in in_code(row[0])} - {
        "patchclip-VERSION-py3-none-any.whl"
    }

    assert [name for name in listed if name.rstrip("/").removesuffix(".minisig") not in script] == []
    assert (
        fenced(RELEASE, "sh")[0] == "minisign -V -p minisign.pub -m SHA256SUMS\nsha256sum --check --strict SHA256SUMS\n"
    )
