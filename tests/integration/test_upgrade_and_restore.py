"""A node's real processes, killed, upgraded and restored: nothing that was acknowledged is missing, all of it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from patchclip_node.adapters.ledger.copying import ledger_state
from patchclip_node.domain.states import StudyState
from tests.acceptance.test_kill import assert_holds_each_result_once, held_in_analysis, send
from tests.peers.archive import Archive
from tests.peers.node import PLUGINS, Node, new_node
from tests.peers.radiographs import radiograph
from tests.support.earlier import make_earlier


def ran(node: Node, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the node beside its processes; orders of `node_steps` hold for it."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH", "")])),
        "NODE_STEPS": str(node.folder / "steps"),
    }
    return subprocess.run(
        [sys.executable, "-m", "patchclip_node", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def killed_at(node: Node, step: str, *arguments: str | Path) -> None:
    """Run a command and kill it at a step."""
    steps = node.folder / "steps"
    steps.mkdir(exist_ok=True)
    (steps / f"{step}.kill").touch()
    ended = ran(node, *arguments)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (steps / f"{step}.killed").exists()


def configured(node: Node, data_dir: Path) -> Node:
    """Return the same node on another data folder."""
    config = node.folder / f"{data_dir.name}.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(node.config.read_text()) | {"data_dir": str(data_dir)}))
    return Node(node.folder, node.port, config)


def states(node: Node) -> dict[str, StudyState]:
    return {one.study_instance_uid: one.state for one in node.studies()}


def test_studies_in_flight_outlive_backup_upgrade_and_the_way_back(tmp_path: Path) -> None:
    """Each command is killed once, too. What goes on in the end was before the upgrade, and is upgraded again."""
    returned, held, late = (radiograph() for _ in range(3))
    uids = [str(one.StudyInstanceUID) for one in (returned, held, late)]
    with Archive() as archive:
        node = new_node(tmp_path / "node", [archive.destination], receivers=None)
        with node.running():
            send(node, returned)
            node.wait_for_end_of(uids[:1])
            with held_in_analysis(node, held):
                killed_at(node, "file-copied", "backup", "--to", tmp_path / "live", "--config", node.config)
                assert not (tmp_path / "live").exists()
                made = ran(node, "backup", "--to", tmp_path / "live", "--config", node.config)
                node.kill()
        assert made.returncode == 0, made.stderr
        assert ran(node, "restore", tmp_path / "live", "--into", tmp_path / "then").returncode == 0
        assert states(configured(node, tmp_path / "then")) == dict(
            zip(uids, (StudyState.RETURNED, StudyState.ANALYSING), strict=False)
        )
        with node.running("receive"):
            send(node, late)
            node.kill()
        in_flight = dict(zip(uids, (StudyState.RETURNED, StudyState.ANALYSING, StudyState.RECEIVING), strict=True))
        assert states(node) == in_flight
        ledger = tmp_path / "node" / "var" / "ledger.sqlite"
        before = ledger_state(f"sqlite:///{ledger}")
        earlier = make_earlier(ledger)

        killed_at(node, "tables-not-committed", "upgrade", "--config", node.config)
        assert ledger_state(f"sqlite:///{ledger}").revision == earlier
        to = tmp_path / "before"
        upgraded = ran(node, "upgrade", "--backup", to, "--config", node.config)
        assert (upgraded.returncode, ledger_state(f"sqlite:///{ledger}")) == (0, before), upgraded.stderr

        back = configured(node, tmp_path / "back")
        killed_at(node, "ledger-not-restored", "restore", to, "--into", tmp_path / "back")
        assert ran(node, "receive", "--config", back.config).returncode == 2
        assert ran(node, "restore", to, "--into", tmp_path / "back").returncode == 0
        again = ran(node, "upgrade", "--config", back.config)
        assert (again.returncode, states(back)) == (0, in_flight), again.stderr
        with back.running():
            ended = back.wait_for_end_of(uids)
        assert {one.state for one in ended.values()} == {StudyState.RETURNED}
        assert_holds_each_result_once(archive, back, uids)
