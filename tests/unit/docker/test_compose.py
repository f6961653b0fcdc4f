"""docker/compose.yaml keeps the specification and the settings, and gives a container no more than it needs."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose

from patchclip_node.settings import NodeSettings, read_settings
from patchclip_node.web.gate import AllowedHosts
from tests.support.containers import (
    COMPOSE,
    COMPOSE_CUDA,
    FOLDER,
    ROOT,
    MissingVariableError,
    compose,
    dockerfile_of,
    final_stage,
    stages_of,
)

VARIABLES = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), flags=re.MULTILINE))
FILLED_IN = VARIABLES | {"POSTGRES_PASSWORD": "of0the0tests"}
CONTENT = compose(FILLED_IN)
SERVICES: dict[str, dict[str, Any]] = CONTENT["services"]
NODE = {
    name: one for name, one in SERVICES.items() if one["image"].startswith(("patchclip-node:", "patchclip-worker:"))
}
MONITORING = {name: service for name, service in SERVICES.items() if "profiles" in service}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
each_service = pytest.mark.parametrize("name", SERVICES)
ORTHANC = json.loads((FOLDER / "orthanc" / "orthanc.json").read_text())


def test_the_archive_answers_in_an_encoding_that_has_every_name() -> None:
    assert ORTHANC["DefaultEncoding"] == "Utf8"


@pytest.mark.parametrize("path", [COMPOSE, COMPOSE_CUDA], ids=lambda path: path.stem)
def test_it_keeps_the_compose_specification(path: Any) -> None:
    content = compose(FILLED_IN, path)

    read = PyCompose.from_json(json.dumps(content))

    read.validate()
    assert sorted(read.service_names()) == sorted(content["services"])


def test_a_key_that_the_specification_does_not_have_is_found() -> None:
    with pytest.raises(ValueError, match="read_onlyy"):
        PyCompose.from_json(json.dumps({"services": {"web": {"image": "x", "read_onlyy": True}}}))


def test_what_cuda_changes_is_a_service_of_the_box_and_its_image_another() -> None:
    changed = compose(FILLED_IN, COMPOSE_CUDA)["services"]

    assert set(changed) == {"worker"}
    assert changed["worker"]["image"] == f"{SERVICES['worker']['image']}-cuda"
    accelerator = changed["worker"]["build"]["args"]["ACCELERATOR"]
    assert accelerator in stages_of(FOLDER / "node.Dockerfile")
    assert changed["worker"]["environment"] == {"PATCHCLIP_DEVICE": accelerator}


def test_nothing_starts_without_a_password_and_none_is_written_down() -> None:
    assert VARIABLES["POSTGRES_PASSWORD"] == ""
    with pytest.raises(MissingVariableError, match=r"POSTGRES_PASSWORD: set it in docker/\.env"):
        compose(VARIABLES)


def test_the_example_names_each_variable_and_its_default() -> None:
    used = re.findall(r"\$\{(\w+)(?::-([^}]*))?", COMPOSE.read_text())

    assert {name for name, _ in used} == set(VARIABLES)
    assert all(default == VARIABLES[name] for name, default in used)


@each_service
def test_a_service_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    dockerfile = dockerfile_of(service)

    assert "healthcheck" in service or (dockerfile is not None and final_stage(dockerfile).health_check)


@each_service
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(service)
    assert [volume for volume in service.get("volumes", []) if volume.split(":")[0] not in CONTENT["volumes"]] == []


@each_service
def test_a_service_runs_as_the_user_of_its_image_and_keeps_what_the_image_keeps(name: str) -> None:
    dockerfile = dockerfile_of(SERVICES[name])
    if dockerfile is None:
        return
    image = final_stage(dockerfile)

    assert image.all("USER") == [SERVICES[name]["user"]]
    assert image.all("VOLUME") == [volume.split(":")[1] for volume in SERVICES[name].get("volumes", [])]
    assert dockerfile.is_file()


@each_service
def test_an_image_is_ours_at_this_version_or_anothers_at_a_full_one(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")

    assert tag == VERSION if image.startswith("patchclip-") else re.fullmatch(r"v?\d+\.\d+[\w.-]*", tag)
    assert image.startswith("patchclip-") == ("build" in SERVICES[name])


@each_service
def test_only_dicom_is_published_beyond_loopback(name: str) -> None:
    published = {tuple(port.rsplit(":", 2)) for port in SERVICES[name].get("ports", [])}
    dicom = {str(NodeSettings().port), str(ORTHANC["DicomPort"])}

    assert {outside for address, outside, _ in published if address != "127.0.0.1"} <= dicom
    assert all(outside == inside for _, outside, inside in published)


def test_what_is_published_is_the_ports_of_the_settings_the_archive_and_the_viewer() -> None:
    published = {
        name: [int(port.rsplit(":", 1)[1]) for port in s["ports"]] for name, s in SERVICES.items() if "ports" in s
    }

    assert published == {
        "receiver": [NodeSettings().port],
        "web": [NodeSettings().web.port],
        "orthanc": [ORTHANC["DicomPort"]],
        "ohif": [int(*final_stage(FOLDER / "ohif.Dockerfile").all("EXPOSE"))],
        "grafana": [int(SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_PORT"])],
    }


@each_service
def test_a_service_waits_until_what_it_needs_is_healthy(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})

    assert set(waits) <= set(SERVICES)
    assert {how["condition"] for how in waits.values()} <= {"service_healthy"}


def test_the_node_is_its_four_processes_with_one_configuration() -> None:
    assert {name: service["command"] for name, service in NODE.items()} == {
        "receiver": ["receive"],
        "worker": ["work"],
        "deliver": ["deliver"],
        "web": ["web"],
    }
    (others,) = {json.dumps(service["environment"]) for name, service in NODE.items() if name != "web"}
    pages = {"PATCHCLIP_WEB__HOST": "0.0.0.0", "PATCHCLIP_WEB__ALLOWED_HOSTS": '["web"]'}
    assert NODE["web"]["environment"] == json.loads(others) | pages


def test_only_the_worker_has_pytorch() -> None:
    chosen = {name: service["build"]["args"]["ACCELERATOR"] for name, service in NODE.items()}
    stages = stages_of(FOLDER / "node.Dockerfile")

    assert chosen == {"receiver": "none", "worker": "cpu", "deliver": "none", "web": "none"}
    assert stages["none"].environment == {"LOCK": "requirements/results.lock"}
    assert stages["onnx"].environment == {"LOCK": "requirements/worker-onnx.lock"}
    assert len({service["image"] for service in NODE.values()}) == 2


def test_the_image_that_backs_up_has_the_dump_of_the_servers_version() -> None:
    """Debian 12 has PostgreSQL 15: https://packages.debian.org/bookworm/postgresql-client."""
    node = final_stage(FOLDER / "node.Dockerfile")

    assert any(" postgresql-client " in f"{command} " for command in node.all("RUN"))
    assert node.base.endswith("-bookworm")
    assert SERVICES["postgres"]["image"] == "postgres:15.14-bookworm"


def test_monitoring_starts_when_it_is_wanted_with_our_rules_and_dashboard() -> None:
    assert {name: service["profiles"] for name, service in MONITORING.items()} == {
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    given = {
        place["target"]: FOLDER / CONTENT["configs"][place["source"]]["file"]
        for service in MONITORING.values()
        for place in service["configs"]
    }
    assert {path.name for path in given.values()} >= {"rules.yaml", "dashboard.json"}
    assert all(path.is_file() for path in given.values())
    (configuration,) = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    prometheus = yaml.safe_load(given[configuration.partition("=")[2]].read_text())
    assert [given[rules].name for rules in prometheus["rule_files"]] == ["rules.yaml"]
    ((target,),) = [one["targets"] for job in prometheus["scrape_configs"] for one in job["static_configs"]]
    assert target == f"web:{NodeSettings().web.port}"
    (source,) = yaml.safe_load(given["/etc/grafana/provisioning/datasources/patchclip.yaml"].read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert urlsplit(source["url"]).hostname == "prometheus"
    (shown,) = yaml.safe_load(given["/etc/grafana/provisioning/dashboards/patchclip.yaml"].read_text())["providers"]
    assert f"{shown['options']['path']}/node.json" in given


def test_who_looks_at_figures_needs_no_account_and_has_no_rights() -> None:
    environment = SERVICES["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert SERVICES["prometheus"]["networks"] == ["inside"]


def test_the_pages_answer_to_the_name_that_the_health_checks_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in NODE["web"]["environment"].items():
        monkeypatch.setenv(key, value)
    web = read_settings(None).web
    (asked,) = {urlsplit(service["environment"]["NODE_HEALTH"]) for service in NODE.values()}

    assert AllowedHosts.of_node(web.host, web.allowed_hosts).admits(asked.netloc, "172.18.0.5")
    assert (asked.hostname, asked.port) == ("web", web.port)


@pytest.mark.parametrize("name", NODE)
def test_each_variable_of_the_node_is_a_setting_and_changes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {key: value for key, value in NODE[name]["environment"].items() if key.startswith("PATCHCLIP_")}
    for key, value in given.items():
        before = read_settings(None)
        monkeypatch.setenv(key, value)
        assert read_settings(None) != before, key

    settings = read_settings(None)
    assert settings.data_dir.as_posix() == final_stage(FOLDER / "node.Dockerfile").environment["PATCHCLIP_DATA_DIR"]
    assert settings.broker_url is not None
    assert settings.ledger_url is not None


def test_node_and_archive_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHCLIP_DESTINATIONS", NODE["deliver"]["environment"]["PATCHCLIP_DESTINATIONS"])
    settings = read_settings(None)
    (destination,) = settings.destinations

    assert (destination.host, destination.ae_title, destination.port) == (
        "orthanc", ORTHANC["DicomAet"], ORTHANC["DicomPort"],
    )  # fmt: skip
    assert ORTHANC["DicomModalities"] == {"patchclip": [settings.ae_title, "receiver", settings.port]}
