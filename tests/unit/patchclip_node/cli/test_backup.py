"""`backup`, `restore` and `upgrade` on one machine, with a ledger in SQLite."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from patchclip_node.adapters import file_spool
from patchclip_node.adapters.audit_files import AuditFiles, trail_files, trail_lines
from patchclip_node.adapters.backups import make
from patchclip_node.adapters.configuration_store import ConfigurationStore
from patchclip_node.adapters.file_spool import FileSpool, stored_file
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.ledger.copying import copy_ledger, ledger_state
from patchclip_node.adapters.ledger.migrate import Standing, standing
from patchclip_node.audit import events
from patchclip_node.audit.chain import verify
from patchclip_node.cli.shell_user import shell_user
from patchclip_node.domain.configuration import Configuration, Person
from patchclip_node.domain.states import StudyState
from patchclip_node.ports.audit import AuditLane
from patchclip_node.ports.spool import StoredFile
from patchclip_node.settings import read_settings
from tests.support.earlier import make_earlier, revision_before
from tests.support.fakes import START, make_instance
from tests.support.spool_contract import packed_file
from tests.support.studies import OWNER, bring_to
from tests.unit.patchclip_node.cli.conftest import Command


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path / "data" / "spool", 0)


def keep(ledger: SqlLedger, spool: FileSpool, uid: str, content: bytes) -> StoredFile:
    """Receive an image of `content`."""
    stored = spool.write([content])
    ledger.arrivals.record(make_instance(uid, sha256=stored.sha256, spool_key=stored.key))
    return stored


def changed(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def all_states(ledger: SqlLedger) -> None:
    """Bring a study to each state; their images are in no spool."""
    due = [StudyState.RETURNING, StudyState.ANALYSED, StudyState.RECEIVED, StudyState.RECEIVING]
    for number, state in enumerate([*(one for one in StudyState if one not in due), *due]):
        bring_to(ledger, state, f"1.2.{number}")


def without_files(data: Path) -> None:
    """Let the images of `bring_to` be of files that the spool never had."""
    with closing(sqlite3.connect(data / "ledger.sqlite")) as connection:
        connection.execute("UPDATE instances SET spool_key = NULL")
        connection.commit()


def test_a_backup_is_restored_into_an_empty_folder(
    command: Command, config: Path, ledger: SqlLedger, spool: FileSpool, tmp_path: Path
) -> None:
    stored = [keep(ledger, spool, f"1.2.{number}", b"image %d" % number) for number in range(3)]
    unnamed = spool.write([b"picture" * 100])

    made = command("backup", "--to", tmp_path / "b", "--config", config)
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert (made.status, restored.status) == (0, 0), made.err + restored.err
    assert "3 instances; 3 RECEIVING" in made.out
    for one in stored:
        assert (
            stored_file(tmp_path / "new" / "spool", one.key).read_bytes()
            == stored_file(tmp_path / "data" / "spool", one.key).read_bytes()
        )
    with pytest.raises(FileNotFoundError):
        stored_file(tmp_path / "new" / "spool", unnamed.key)  # the ledger does not name it
    url = f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}"
    assert ledger_state(url) == ledger_state(f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}")
    assert not (tmp_path / "new" / "restoring").exists()
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0


def test_the_list_of_digests_is_one_that_sha256sum_reads(
    command: Command, config: Path, ledger: SqlLedger, spool: FileSpool, tmp_path: Path
) -> None:
    keep(ledger, spool, "1.2.3", b"image")
    command("backup", "--to", tmp_path / "b", "--config", config)

    arguments = ["sha256sum", "--strict", "--check", "SHA256SUMS"]
    checked = subprocess.run(arguments, cwd=tmp_path / "b", capture_output=True, text=True, check=False)

    assert checked.returncode == 0
    assert checked.stdout.count(": OK") == len([path for path in (tmp_path / "b").rglob("*") if path.is_file()]) - 1


@pytest.mark.parametrize("kind", ["changed", "removed", "added", "ledger"])
def test_a_backup_that_is_not_whole_is_named_and_not_restored(
    command: Command, config: Path, ledger: SqlLedger, spool: FileSpool, tmp_path: Path, kind: str
) -> None:
    stored = keep(ledger, spool, "1.2.3", b"image")
    command("backup", "--to", tmp_path / "b", "--config", config)
    assert command("backup", "--verify", tmp_path / "b").status == 0
    path = tmp_path / "b" / "spool" / "instances" / stored.key[:2] / stored.key
    match kind:
        case "changed":
            changed(path, b"imagf")
        case "removed":
            path.unlink()
        case "added":
            path.with_suffix(".more").write_bytes(b"")
        case _:
            path = tmp_path / "b" / "ledger.sqlite"
            content = path.read_bytes()
            changed(path, content[: len(content) // 2])

    verified = command("backup", "--verify", tmp_path / "b")
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert (verified.status, restored.status) == (1, 1)
    assert path.name in verified.err
    assert "nothing was restored" in restored.err
    assert not (tmp_path / "new").exists()


def test_what_the_node_has_lost_or_damaged_is_said_and_the_rest_is_kept(
    command: Command, config: Path, ledger: SqlLedger, spool: FileSpool, tmp_path: Path
) -> None:
    lost, damaged, whole = (keep(ledger, spool, f"1.2.{number}", b"image %d" % number) for number in range(3))
    spool.delete(lost.key)
    changed(stored_file(tmp_path / "data" / "spool", damaged.key), b"other")

    made = command("backup", "--to", tmp_path / "b", "--config", config)
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert made.status == 1
    assert f"lost the file {lost.key}" in made.err
    assert f"file {damaged.key} is damaged" in made.err
    assert restored.status == 0
    assert lost.key in restored.err
    assert stored_file(tmp_path / "new" / "spool", whole.key).read_bytes() == b"image 2"


def test_a_study_that_is_purged_meanwhile_is_not_missed(
    command: Command,
    config: Path,
    ledger: SqlLedger,
    spool: FileSpool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the ledger's moment and the copy of its files, a file goes with its row, and another one comes."""
    first, second = (keep(ledger, spool, f"1.2.{number}", b"%d" % number) for number in range(2))
    moments: list[Any] = []

    def copied(url: str, folder: Path) -> Any:
        state = copy_ledger(url, folder)
        if not moments:
            with closing(sqlite3.connect(tmp_path / "data" / "ledger.sqlite")) as connection:
                connection.execute("DELETE FROM instances WHERE spool_key = ?", (second.key,))
                connection.commit()
            spool.delete(second.key)
            keep(ledger, spool, "1.2.7", b"late")
        moments.append(state)
        return state

    monkeypatch.setattr(make, "copy_ledger", copied)

    made = command("backup", "--to", tmp_path / "b", "--config", config)
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert (made.status, restored.status) == (0, 0), made.err + restored.err
    assert len(moments) == 2
    assert stored_file(tmp_path / "new" / "spool", first.key).is_file()
    kept = {path.read_bytes() for path in (tmp_path / "new" / "spool").rglob("*") if path.is_file()}
    assert b"late" in kept
    assert len(kept) == 2


def test_the_audit_trail_ends_where_the_ledger_of_then_knows_it(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written behind the ledger's moment would make the restored node take its trail for a changed one."""
    ledger.audit.follow(frozenset({AuditLane.FILE}))
    files = AuditFiles(tmp_path / "data" / "audit", 300, lambda event: f"<{event.key}>")

    def carry() -> None:
        ledger.audit.record(events.trail_read(START, shell_user(), "file:///trail"))
        taken = ledger.audit.take(AuditLane.FILE, OWNER, START, 60, 10)
        sequence, digest = files.append(ledger.audit.head(AuditLane.FILE), taken)
        assert ledger.audit.carried(AuditLane.FILE, OWNER, sequence, digest)

    for _ in range(4):
        carry()

    def copied(url: str, folder: Path) -> Any:
        state = copy_ledger(url, folder)
        carry()
        carry()
        return state

    monkeypatch.setattr(make, "copy_ledger", copied)

    made = command("backup", "--to", tmp_path / "b", "--config", config)
    command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert made.status == 0, made.err
    restored = SqlLedger(f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}")
    known = restored.audit.head(AuditLane.FILE)
    restored.close()
    verdict = verify(trail_lines(trail_files(tmp_path / "new" / "audit")), known)
    assert (verdict.last, verdict.faults) == (4, ())
    assert len(trail_files(tmp_path / "data" / "audit")) > len(trail_files(tmp_path / "new" / "audit")) > 1


def test_secrets_are_left_out_where_that_is_wanted(command: Command, ledger: SqlLedger, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "secret").chmod(0o600)
    openid = {
        "issuer": "https://idp.example",
        "client_id": "node",
        "client_secret_file": str(tmp_path / "secret"),
        "pages_url": "https://node.example",
        "roles": {"a": "viewer"},
    }
    broker = "redis://:hidden@127.0.0.1/0"
    config = tmp_path / "node.yaml"
    values = {"data_dir": str(tmp_path / "data"), "broker_url": broker, "web": {"behind_tls": True, "openid": openid}}
    config.write_text(yaml.safe_dump(values))

    with_them = command("backup", "--to", tmp_path / "all", "--config", config)
    without = command("backup", "--to", tmp_path / "some", "--no-secrets", "--config", config)

    def holding(folder: str, words: bytes) -> list[str]:
        files = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
        return sorted(path.name for path in files if words in path.read_bytes())

    assert (with_them.status, without.status) == (0, 0), with_them.err + without.err
    assert holding("all", b"s3cret") == ["secret"]
    assert holding("all", b"hidden") == ["node.yaml"]
    assert holding("some", b"s3cret") == holding("some", b"hidden") == []
    assert "web.openid.client_secret_file" in without.out
    assert "holds a password" in without.out


@pytest.mark.parametrize(("more", "kept"), [((), [1, 2]), (("--no-secrets",), [])])
def test_earlier_configurations_come_back_where_secrets_may(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, more: tuple[str, ...], kept: list[int]
) -> None:
    store = ConfigurationStore(tmp_path / "data")
    store.prepare()
    for text in ("log: {level: info}\n", "log: {level: debug}\n"):
        store.keep(Configuration(config, text, (), {}), Person("ops", "patchclip"), "apply")

    command("backup", "--to", tmp_path / "b", "--config", config, *more)
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert restored.status == 0, restored.err
    there = ConfigurationStore(tmp_path / "new")
    assert there.numbers() == kept
    assert [there.version(number).configuration.text for number in kept] == [
        store.version(number).configuration.text for number in kept
    ]


@pytest.mark.parametrize("name", ["data", "b"])
def test_no_folder_is_written_over(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, name: str
) -> None:
    command("backup", "--to", tmp_path / "b", "--config", config)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / name).rglob("*") if path.is_file()}

    made = command("backup", "--to", tmp_path / name, "--config", config)
    restored = command("restore", tmp_path / "b", "--into", tmp_path / name)

    assert (made.status, restored.status) == (2, 2)
    assert "is there already" in made.err
    assert "is not empty" in restored.err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_node_does_not_start_where_a_restore_was_killed_and_the_restore_goes_on(
    command: Command, config: Path, ledger: SqlLedger, spool: FileSpool, tmp_path: Path
) -> None:
    keep(ledger, spool, "1.2.3", b"image")
    command("backup", "--to", tmp_path / "b", "--config", config)
    (tmp_path / "new" / "spool" / "instances" / "ab").mkdir(parents=True)
    (tmp_path / "new" / "restoring").mkdir()
    (tmp_path / "new" / "restoring" / "ledger.sqlite").write_bytes(b"half")
    (tmp_path / "new.yaml").write_text(f"data_dir: {tmp_path / 'new'}\n")

    started = command("receive", "--config", tmp_path / "new.yaml")
    restored = command("restore", tmp_path / "b", "--into", tmp_path / "new")

    assert started.status == 2
    assert "restore" in started.err
    assert restored.status == 0, restored.err
    assert command("studies", "list", "--uids", "--config", tmp_path / "new.yaml").out == "1.2.3\n"


def test_an_earlier_ledger_is_upgraded_with_studies_in_every_state(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path
) -> None:
    all_states(ledger)
    ledger.close()
    data = tmp_path / "data"
    without_files(data)
    url = f"sqlite:///{data / 'ledger.sqlite'}"
    before = ledger_state(url)
    earlier = make_earlier(data / "ledger.sqlite")
    refused = [command(name, "--config", config) for name in ("receive", "deliver", "web")]
    listed = command("studies", "list", "--config", config)

    upgraded = command("upgrade", "--config", config)

    assert {one.status for one in (*refused, listed)} == {2}
    assert all("patchclip-node upgrade" in one.err for one in (*refused, listed))
    assert upgraded.status == 0, upgraded.err
    assert standing(url) is Standing.CURRENT
    after = ledger_state(url)
    assert after.studies == before.studies == dict.fromkeys([state.value for state in StudyState], 1)
    assert (after.instances, after.files, after.last_event) == (before.instances, before.files, before.last_event)
    assert "patchclip-node restore" in upgraded.out
    (backup,) = (data / "backups").iterdir()
    assert command("restore", backup, "--into", tmp_path / "back").status == 0
    assert ledger_state(f"sqlite:///{tmp_path / 'back' / 'ledger.sqlite'}").revision == earlier == revision_before()
    assert command("upgrade", "--config", config).out == "the ledger is of this version: there is nothing to do\n"


def test_an_upgrade_names_who_has_the_ledger_open(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path
) -> None:
    ledger.close()
    make_earlier(tmp_path / "data" / "ledger.sqlite")
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM studies'); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        ["python3", "-c", program, str(tmp_path / "data" / "ledger.sqlite")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        refused = command("upgrade", "--config", config)
        other.communicate(b"\n")

    assert refused.status == 2
    assert f"process {other.pid}" in refused.err
    assert not (tmp_path / "data" / "backups").exists()
    assert command("upgrade", "--config", config).status == 0


def test_an_upgrade_takes_a_backup_that_was_made_if_nothing_has_come_since(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path
) -> None:
    bring_to(ledger, StudyState.RECEIVED)
    ledger.close()
    data = tmp_path / "data"
    without_files(data)
    make_earlier(data / "ledger.sqlite")
    assert command("backup", "--to", tmp_path / "b", "--config", config).status == 0
    shutil.copytree(tmp_path / "b", tmp_path / "old")
    about = tmp_path / "old" / "backup.json"
    text = about.read_text().replace('"instances": 1', '"instances": 0')
    about.write_text(text)
    sums = tmp_path / "old" / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith("backup.json")]
    sums.write_text("\n".join([*lines, f"{hashlib.sha256(text.encode()).hexdigest()}  backup.json", ""]))

    refused = command("upgrade", "--made", tmp_path / "old", "--config", config)
    upgraded = command("upgrade", "--made", tmp_path / "b", "--config", config)

    assert refused.status != 0
    assert upgraded.status == 0, upgraded.err
    assert not (data / "backups").exists()


def test_an_upgrade_without_room_changes_nothing(
    command: Command, config: Path, ledger: SqlLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.close()
    make_earlier(tmp_path / "data" / "ledger.sqlite")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))

    refused = command("upgrade", "--config", config)

    assert refused.status == 1
    assert "make room" in refused.err
    assert standing(read_settings(config).effective_ledger_url) is Standing.EARLIER


def test_the_spool_of_a_backup_is_unpacked_as_the_nodes(tmp_path: Path) -> None:
    FileSpool(tmp_path / "spool", 0)
    key = packed_file(tmp_path / "spool", b"picture" * 100_000)

    content = b"".join(file_spool.content_of(stored_file(tmp_path / "spool", key)))

    assert content == b"picture" * 100_000
