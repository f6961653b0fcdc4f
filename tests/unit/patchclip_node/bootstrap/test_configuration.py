"""A changed configuration is taken up as a whole or not at all; each version is kept, and one can go back."""

from __future__ import annotations

import os
import pwd
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchclip_core.errors import FindingsFileError
from patchclip_node.adapters.configuration_store import replace_durably
from patchclip_node.bootstrap import applying, configuration
from patchclip_node.bootstrap.applying import Applied, NotAppliedError, apply, changes_of, go_back
from patchclip_node.bootstrap.configuration import NeedsRestartError, start
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.services.outage import again_and_again
from patchclip_node.settings import NodeSettings
from patchclip_node.settings.live import EVERY_PROCESS, takers
from patchclip_node.settings.node import own_variables
from tests.support.configured import Configured, Taking, in_a_child, kill_this_process

SHIPPED_FINDINGS = Path(configuration.__file__).parents[3] / "conf" / "findings.yaml"


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    made = Configured(tmp_path)
    made.write()
    return made


class Running:
    """Processes that look again and again, as they do in a node."""

    def __init__(self, configured: Configured) -> None:
        self.configured = configured
        self.processes: dict[str, Taking] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, process: str, **refuse: Callable[[NodeSettings], None]) -> Taking:
        taking = self.processes[process] = self.configured.runs(process, **refuse)
        looks = threading.Thread(target=again_and_again, args=(taking.follower.look, self._stop, 0.02, process))
        looks.start()
        self._threads.append(looks)
        return taking

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for one in self.processes.values():
            one.follower.close()


@pytest.fixture
def running(configured: Configured) -> Iterator[Running]:
    made = Running(configured)
    yield made
    made.end()


def numbers(configured: Configured) -> list[int]:
    return configured.store.numbers()


def test_who_is_concerned_takes_a_change_and_others_go_on(running: Running, configured: Configured) -> None:
    receive, work, deliver = (running.begin(name) for name in ("receive", "work", "deliver"))
    before = work.settings

    applied = apply(configured.write(calling_ae_titles=["NEW"], retention={"returned_days": 3}))

    assert receive.settings.calling_ae_titles == ("NEW",)
    assert deliver.settings.retention.returned_days == 3
    assert work.settings is before
    assert applied.keys == ["calling_ae_titles", "retention.returned_days"]
    assert {one.number for one in (receive, work, deliver)} == {2}


STUCK = {
    "port": 104,
    "ae_title": "OTHER",
    "ledger_url": "sqlite:///elsewhere.sqlite",
    "model": "demo",
    "limits": {"min_free_bytes": 5},
    "web": {"port": 8050},
}


@pytest.mark.parametrize("key", STUCK)
def test_what_needs_a_restart_is_named_and_nothing_else_is_applied(
    running: Running, configured: Configured, key: str
) -> None:
    receive = running.begin("receive")
    full = key if not isinstance(STUCK[key], dict) else f"{key}.{next(iter(STUCK[key]))}"  # type: ignore[call-overload]

    with pytest.raises(NeedsRestartError, match=f"needs a restart: {full};"):
        apply(configured.write(**{key: STUCK[key]}, calling_ae_titles=["NEW"]))

    assert receive.settings.calling_ae_titles == ()
    assert numbers(configured) == [1]


def test_another_data_folder_is_not_mistaken_for_a_node_that_runs(running: Running, configured: Configured) -> None:
    running.begin("receive")

    with pytest.raises(NotAppliedError, match="another data_dir, restart it"):
        apply(configured.write(data_dir=str(configured.folder / "elsewhere")))


def test_an_invalid_file_leaves_what_holds(running: Running, configured: Configured) -> None:
    receive = running.begin("receive")
    configured.file.write_text("prot: 5\n")

    with pytest.raises(ConfigurationError, match="'port' may be meant"):
        apply(configured.file)

    assert receive.number == 1
    assert receive.settings.port == 11112


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"routes": [{"name": "r", "release": "held", "hold": {"findings": ["opacty"]}}]}, "no finding 'opacty'"),
        ({"findings_file": "/nowhere/findings.yaml"}, "/nowhere/findings.yaml"),
        ({"radiographs_file": "/nowhere/words.yaml"}, "/nowhere/words.yaml"),
        ({"tls": {"certificate": "/nowhere/c.pem", "key": "k", "ca": "a"}}, "there is no file /nowhere/c.pem"),
    ],
)
def test_what_cannot_be_used_leaves_what_holds(
    running: Running, configured: Configured, values: dict[str, Any], said: str
) -> None:
    work = running.begin("work")

    with pytest.raises(Exception, match=said):
        apply(configured.write(**values))

    assert (work.number, numbers(configured)) == (1, [1])


def test_findings_that_the_model_has_and_the_file_does_not_are_refused(
    running: Running, configured: Configured
) -> None:
    running.begin("work")
    shipped = yaml.safe_load(SHIPPED_FINDINGS.read_text())
    shipped["findings"] = [one for one in shipped["findings"] if one["key"] != "opacity"]
    findings = configured.folder / "findings.yaml"
    findings.write_text(yaml.safe_dump(shipped))

    with pytest.raises((ConfigurationError, FindingsFileError), match="opacity"):
        apply(configured.write(findings_file=str(findings)))


def test_where_one_process_refuses_all_go_back(running: Running, configured: Configured) -> None:
    def refuse(_settings: NodeSettings) -> None:
        raise ConfigurationError("this machine has no such file")

    receive = running.begin("receive")
    running.begin("work", refuse=refuse)

    with pytest.raises(NotAppliedError, match=r"refused by work .*this machine has no such file"):
        apply(configured.write(calling_ae_titles=["NEW"], quiet_s=2))

    for _ in range(200):
        if receive.number == 1:
            break
        threading.Event().wait(0.02)
    assert receive.settings.calling_ae_titles == ()
    assert configured.store.current() == 1
    assert "no such file" in configured.store.version(2).refused


def test_a_process_that_is_killed_while_it_is_asked_is_not_waited_for(running: Running, configured: Configured) -> None:
    running.begin("receive")

    def killed() -> None:
        configured.runs("work")
        kill_this_process()

    assert in_a_child(killed) == -9

    applied = apply(configured.write(quiet_s=2))

    assert applied.processes == ["receive"]


def test_each_process_is_judged_by_its_own_variables(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHCLIP_PORT", "105")
    receive = configured.runs("receive")
    monkeypatch.delenv("PATCHCLIP_PORT")
    monkeypatch.setenv("PATCHCLIP_QUIET_S", "2")

    found = changes_of(configured.store, configured.store.running(), configured.write(port=104, quiet_s=3))

    receive.follower.close()
    assert found == ["quiet_s"]
    assert own_variables(os.environ) == {"PATCHCLIP_QUIET_S": "2"}


def test_a_variable_that_one_process_has_makes_no_version_at_each_start(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in ("cpu", "cuda", "cpu", "cuda", "cpu"):
        monkeypatch.setenv("PATCHCLIP_DEVICE", device)
        start("work", configured.file)

    assert numbers(configured) == [1, 2]


def test_three_changes_make_a_history_that_says_what_who_and_how(running: Running, configured: Configured) -> None:
    running.begin("receive")
    for title in ("A", "B", "C"):
        apply(configured.write(calling_ae_titles=[title]))
    apply(configured.file)

    versions = [configured.store.version(number) for number in numbers(configured)]
    values = [one.configuration.effective["calling_ae_titles"] for one in versions]
    assert [one.act for one in versions] == ["start of receive", "apply", "apply", "apply"]
    assert values == [[], ["A"], ["B"], ["C"]]
    assert {one.who.user for one in versions} == {pwd.getpwuid(os.getuid()).pw_name}


def test_a_findings_file_is_part_of_a_version(running: Running, configured: Configured) -> None:
    findings = configured.folder / "findings.yaml"
    findings.write_text(SHIPPED_FINDINGS.read_text())
    configured.write(findings_file=str(findings))
    work = running.begin("work")
    other = SHIPPED_FINDINGS.read_text() + "\n# more\n"

    findings.write_text(other)
    edited = changes_of(configured.store, configured.store.running(), configured.file)
    kept_before = work.settings.findings_file
    applied = apply(configured.file)

    assert edited == applied.keys == ["findings_file"]
    assert kept_before is not None
    assert kept_before.read_text() == SHIPPED_FINDINGS.read_text()
    assert work.settings.findings_file is not None
    assert work.settings.findings_file.read_text() == other

    go_back(configured.file, 1)
    assert findings.read_text() == SHIPPED_FINDINGS.read_text()


def test_going_back_writes_the_file_as_it_was_and_lets_it_hold(running: Running, configured: Configured) -> None:
    receive = running.begin("receive")
    first = configured.file.read_text()
    apply(configured.write(calling_ae_titles=["NEW"]))
    configured.file.chmod(0o640)
    link = configured.folder / "link.yaml"
    link.symlink_to(configured.file)

    applied = go_back(link, 1)

    assert isinstance(applied, Applied)
    assert configured.file.read_text() == first
    assert stat.S_IMODE(configured.file.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert receive.settings.calling_ae_titles == ()
    assert configured.store.version(3).act == "back to 1"


def test_going_back_is_possible_from_a_file_that_is_broken(running: Running, configured: Configured) -> None:
    running.begin("receive")
    first = configured.file.read_text()
    configured.file.write_text(f"data_dir: {configured.folder / 'data'}\nprot: [\n")

    go_back(configured.file, 1)

    assert configured.file.read_text() == first


def test_going_back_to_what_needs_a_restart_writes_nothing_unless_no_more_is_wanted(
    running: Running, configured: Configured
) -> None:
    first = configured.file.read_text()
    start("receive", configured.file)
    second = configured.write(port=104).read_text()
    running.begin("receive")

    with pytest.raises(NeedsRestartError, match="port"):
        go_back(configured.file, 1)
    unchanged = configured.file.read_text()

    assert unchanged == second
    assert go_back(configured.file, 1, only_write=True) is None
    assert configured.file.read_text() == first


def test_a_file_that_cannot_hold_is_as_it_was(running: Running, configured: Configured) -> None:
    first_time: list[int] = []

    def refuse(_settings: NodeSettings) -> None:
        if first_time:
            raise ConfigurationError("not any more")
        first_time.append(1)

    running.begin("work", refuse=refuse)
    apply(configured.write(quiet_s=2))
    second = configured.file.read_text()

    with pytest.raises(NotAppliedError, match="not any more"):
        go_back(configured.file, 1)

    assert configured.file.read_text() == second


def killed_at_sync(number: int, act: Callable[[], object]) -> int:
    """Do something in a process that is killed where it makes its `number`th file durable."""
    synced = os.fsync
    left = [number]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            kill_this_process()
        synced(descriptor)

    def doomed() -> None:
        os.fsync = fsync  # type: ignore[assignment]  # the files of the store are descriptors
        act()

    return in_a_child(doomed)


def test_a_kill_at_any_moment_of_going_back_leaves_one_or_the_other(configured: Configured) -> None:
    first = configured.file.read_text()
    start("receive", configured.file)
    second = configured.write(quiet_s=2).read_text()
    found: set[tuple[str, int | None]] = set()

    def back() -> None:
        threading.Thread(target=lambda: again_and_again(receive.follower.look, stop, 0.01, "r"), daemon=True).start()
        go_back(configured.file, 1)

    for number in range(1, 40):
        receive, stop = configured.runs("receive"), threading.Event()
        status = killed_at_sync(number, back)
        receive.follower.close()
        text, current = configured.file.read_text(), configured.store.current()
        assert text in {first, second}
        assert [configured.store.version(one).number for one in numbers(configured)] == numbers(configured)
        found.add((text, status))
        configured.file.write_text(second)
        assert current is not None
        if status == 0:
            break
    assert {(first, -9), (second, -9), (first, 0)} <= found


def test_applies_at_the_same_time_come_one_after_the_other(running: Running, configured: Configured) -> None:
    receive = running.begin("receive")
    files = []
    for number in range(4):
        files.append(configured.folder / f"{number}.yaml")
        files[-1].write_text(configured.write(calling_ae_titles=[f"TITLE{number}"]).read_text())

    pids = []
    for file in files:
        pid = os.fork()
        if pid == 0:
            try:
                apply(file)
            except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    last = configured.store.version(5).configuration.effective["calling_ae_titles"]
    assert statuses == [0] * 4
    assert numbers(configured) == [1, 2, 3, 4, 5]
    assert configured.store.current() == 5
    for _ in range(200):
        if receive.number == 5:
            break
        threading.Event().wait(0.02)
    assert list(receive.settings.calling_ae_titles) == last


def test_what_is_kept_is_for_the_nodes_user_alone(configured: Configured) -> None:
    start("receive", configured.write(ledger_url="postgresql://node:hunter2@db/node"))

    paths = [configured.store.folder, *configured.store.folder.rglob("*")]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in paths}

    assert modes == {0o700, 0o600}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_durably(path, b"after", 0o600)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_no_process_from_starting(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    start("receive", configured.file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with configured.runs("receive") as receive:
        receive.follower.look()
        number = receive.number
    configured.write(quiet_s=2)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        start("receive", configured.file)

    assert number == 1
    assert configured.store.current() == 1


def test_nothing_is_made_where_no_node_has_run(configured: Configured) -> None:
    with pytest.raises(NotAppliedError, match="no process of a node runs"):
        apply(configured.file)

    assert not (configured.folder / "data").exists()


def test_a_silent_process_is_named_and_what_held_holds(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "ANSWER_S", 0.1)
    silent = configured.runs("deliver")

    with pytest.raises(NotAppliedError, match="no answer of deliver"):
        apply(configured.write(quiet_s=2))

    silent.follower.close()
    assert configured.store.current() == 1


def test_each_live_setting_names_processes_that_there_are() -> None:
    named = set().union(*(takers(NodeSettings, key) for key in NodeSettings.model_fields))

    assert named == set(EVERY_PROCESS)
