"""A spool in an S3 store keeps the contract of spools, and what is special about a store: it may be away."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from patchclip_node.adapters.backups.make import make_backup
from patchclip_node.adapters.backups.restore import restore
from patchclip_node.adapters.s3 import S3Spool, S3Store
from patchclip_node.adapters.s3.store import ConditionRefusedError, KeyTakenError, Stored
from patchclip_node.cli.backup import sources_of
from patchclip_node.cli.check_result import Status
from patchclip_node.cli.checks import run_check
from patchclip_node.cli.spool_checks import spool_store
from patchclip_node.domain.errors import ConfigurationError, DamagedFileError, RetryableError, SpoolUnavailableError
from patchclip_node.settings import read_settings
from tests.peers.line import Line
from tests.peers.moto import Moto, new_moto
from tests.peers.s3 import SECRET
from tests.support.fakes import make_instance, make_ledger
from tests.support.spool_contract import SpoolContract, incoming

pytestmark = pytest.mark.peer("moto")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    server = new_moto(tmp_path_factory.mktemp("moto"))
    with server.running():
        yield server


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}/"


@pytest.fixture
def line(moto: Moto) -> Iterator[Line]:
    with Line(moto.port) as line:
        yield line


@pytest.fixture
def spool(moto: Moto, prefix: str, line: Line, tmp_path: Path) -> S3Spool:
    return S3Spool(tmp_path / "spool", 0, S3Store(moto.place(prefix, line.port)), 1024**3)


def refuse_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store answer a conditional PUT as OpenStack Swift 2.30 does."""
    call = BaseClient._make_api_call

    def answered(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if "IfNoneMatch" in arguments:
            error = {"Code": "NotImplemented", "Message": "Conditional object PUTs are not supported."}
            raise ClientError({"Error": error}, operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answered)


def pack(moto: Moto, name: str) -> None:
    """Let an object be as an earlier version kept pictures."""
    content, said = moto.content(name)
    moto.put(name, zlib.compress(content), Metadata=said | {"packed": "zlib"})


def marks(spool: S3Spool) -> set[str]:
    """Keys of objects that may have been left in the store."""
    return {path.name.partition(".")[0] for path in (spool.incoming_dir().parent / "unsettled").iterdir()}


class TestS3Spool(SpoolContract):
    pass


class TestStore:
    def test_an_object_is_created_once_and_never_written_over(self, moto: Moto, prefix: str) -> None:
        store = S3Store(moto.place(prefix))
        said = Stored(hashlib.sha256(b"first").hexdigest(), 5)
        store.create("a", io.BytesIO(b"first"), said)

        with pytest.raises(KeyTakenError, match="already"):
            store.create("a", io.BytesIO(b"other"), said)

        assert moto.content(f"{prefix}a")[0] == b"first"

    def test_what_the_store_holds_otherwise_is_not_believed(
        self, moto: Moto, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = S3Store(moto.place(prefix))
        monkeypatch.setattr("patchclip_node.adapters.s3.store._vouches", lambda *_: False)
        said = Stored(hashlib.sha256(b"as sent").hexdigest(), 7)
        store.create("whole", io.BytesIO(b"as sent"), said)
        real = store.opened

        def other(name: str) -> object:
            moto.put(prefix + name, b"others!", Metadata=said.metadata())
            return real(name)

        monkeypatch.setattr(store, "opened", other)

        with pytest.raises(SpoolUnavailableError, match="other bytes"):
            store.create("other", io.BytesIO(b"as sent"), said)

    def test_a_store_that_refuses_conditions_is_told_from_one_that_is_away(
        self, moto: Moto, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse_conditions(monkeypatch)
        said = Stored(hashlib.sha256(b"image").hexdigest(), 5)

        with pytest.raises(ConditionRefusedError, match=r"set spool\.conditional_create: false"):
            S3Store(moto.place(prefix)).create("a", io.BytesIO(b"image"), said)
        S3Store(moto.place(prefix, conditional=False)).create("a", io.BytesIO(b"image"), said)

        assert moto.content(f"{prefix}a")[0] == b"image"

    def test_a_bucket_that_is_not_there_is_no_missing_file(self, moto: Moto) -> None:
        place = moto.place()
        store = S3Store(type(place)("no-such-bucket", "", place.endpoint, access_key_id="a", secret=SECRET))

        for ask in (store.ask, lambda: store.holds("a")):
            with pytest.raises(SpoolUnavailableError, match="NoSuchBucket") as caught:
                ask()
            assert SECRET not in str(caught.value)
        assert SECRET not in repr(place)


class TestAStoreThatIsAway:
    def test_nothing_is_kept_and_the_file_stays_where_it_was(self, spool: S3Spool, line: Line) -> None:
        path = incoming(spool, b"image")
        stored = spool.write([b"earlier"])
        line.cut()

        with pytest.raises(RetryableError, match="cannot be used"):
            spool.adopt(path)
        with pytest.raises(RetryableError), spool.local_path(stored.key):
            pass
        with pytest.raises(RetryableError):
            spool.holds(stored.key)
        with pytest.raises(RetryableError), spool.reserved(10):
            pass
        assert path.read_bytes() == b"image"
        assert "cannot be used" in spool.trouble()

        line.mend()
        kept = spool.adopt(path)
        with spool.local_path(kept.key) as copy, spool.local_path(stored.key) as earlier:
            assert (copy.read_bytes(), earlier.read_bytes()) == (b"image", b"earlier")

    def test_a_put_that_is_cut_off_in_the_middle_leaves_nothing(
        self, spool: S3Spool, moto: Moto, prefix: str, line: Line
    ) -> None:
        path = incoming(spool, os.urandom(3_000_000))
        line.cut_after(1_000_000)

        with pytest.raises(RetryableError):
            spool.adopt(path)
        assert path.stat().st_size == 3_000_000
        line.mend()
        settled(spool)

        assert moto.names(prefix) == []

    def test_a_put_whose_answer_is_lost_is_deleted_later(
        self, spool: S3Spool, moto: Moto, prefix: str, line: Line
    ) -> None:
        path = incoming(spool, b"image")
        line.cut_before_the_answer()
        with pytest.raises(RetryableError):
            spool.adopt(path)
        line.mend()
        (left,) = moto.names(prefix)
        assert left.removeprefix(prefix) in marks(spool)
        kept = spool.adopt(path)

        settled(spool)

        assert moto.names(prefix) == [prefix + kept.key]
        assert marks(spool) == set()

    def test_what_an_earlier_start_of_the_host_noted_is_not_deleted(
        self, spool: S3Spool, moto: Moto, prefix: str
    ) -> None:
        """After a loss of power a note may be back of an object that was acknowledged."""
        kept = spool.write([b"acknowledged"])
        (spool.incoming_dir().parent / "unsettled" / f"{kept.key}.0123456789abcdef").touch()

        settled(spool)

        assert moto.names(prefix) == [prefix + kept.key]
        assert marks(spool) == set()

    def test_what_could_not_be_deleted_is_deleted_later(
        self, spool: S3Spool, moto: Moto, prefix: str, line: Line
    ) -> None:
        kept = spool.write([b"of no use"])
        line.cut()
        with pytest.raises(RetryableError):
            spool.delete(kept.key)
        line.mend()

        settled(spool)

        assert moto.names(prefix) == []


class TestReading:
    def test_what_an_earlier_version_packed_is_given_as_it_was_written(
        self, spool: S3Spool, moto: Moto, prefix: str
    ) -> None:
        stored = spool.write([bytes(3_000_000), b"end"])
        pack(moto, prefix + stored.key)

        for _ in range(2):
            with spool.local_path(stored.key) as kept:
                assert kept.read_bytes() == bytes(3_000_000) + b"end"

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("damage", [b"", b"other bytes", b"\x78\x5e"])
    def test_an_object_that_was_damaged_in_the_store_is_noticed(
        self, spool: S3Spool, moto: Moto, prefix: str, packed: bool, damage: bytes
    ) -> None:
        stored = spool.write([b"as it was written"])
        if packed:
            pack(moto, prefix + stored.key)
        content, said = moto.content(prefix + stored.key)
        moto.put(prefix + stored.key, damage or content[:-4], Metadata=said)

        for _ in range(2):
            with pytest.raises(DamagedFileError, match=stored.key), spool.local_path(stored.key):
                pass

    def test_an_object_of_somebody_else_is_no_file_of_ours(self, spool: S3Spool, moto: Moto, prefix: str) -> None:
        key = uuid.uuid4().hex
        moto.put(prefix + key, b"a backup of something")

        with pytest.raises(DamagedFileError, match="not written by a node"), spool.local_path(key):
            pass

    def test_what_was_read_is_read_again_from_this_host(self, spool: S3Spool, line: Line) -> None:
        stored = spool.write([b"x" * 1000])
        with spool.local_path(stored.key):
            pass
        line.cut()

        with spool.local_path(stored.key) as kept:
            assert kept.read_bytes() == b"x" * 1000

    def test_the_cache_keeps_to_its_limit_and_lets_go_of_the_oldest(
        self, moto: Moto, prefix: str, tmp_path: Path
    ) -> None:
        spool = S3Spool(tmp_path / "small", 0, S3Store(moto.place(prefix)), 3500)
        cache = tmp_path / "small" / "cache"
        stored = [spool.write([bytes([number]) * 1000]) for number in range(5)]
        for number, one in enumerate(stored):
            with spool.local_path(one.key) as lent:
                assert lent.read_bytes() == bytes([number]) * 1000
            os.utime(cache / one.key, (1_000_000_000 + number,) * 2)
        with spool.local_path(stored[0].key) as first:  # evicted long ago, and here again
            assert first.read_bytes() == bytes(1000)

        assert {path.name for path in cache.iterdir()} == {stored[number].key for number in (0, 3, 4)}

    @pytest.mark.parametrize("cache_bytes", [0, 500])
    def test_without_room_a_file_is_lent_from_memory(
        self, moto: Moto, prefix: str, tmp_path: Path, cache_bytes: int
    ) -> None:
        spool = S3Spool(tmp_path / "none", 0, S3Store(moto.place(prefix)), cache_bytes)
        stored = spool.write([b"x" * 1000])
        pack(moto, prefix + stored.key)

        with spool.local_path(stored.key) as lent:
            assert lent.read_bytes() == b"x" * 1000
        assert list((tmp_path / "none" / "cache").iterdir()) == []

    def test_a_copy_that_no_one_read_for_long_is_let_go(self, spool: S3Spool) -> None:
        stored = spool.write([b"deleted by another host"])
        with spool.local_path(stored.key):
            pass
        settled(spool)

        assert list((spool.incoming_dir().parent / "cache").iterdir()) == []


def settled(spool: S3Spool) -> None:
    """Let the time go by after which what was left is deleted."""
    spool.discard_unfinished(datetime.now(UTC) + timedelta(seconds=5))


class TestDoctor:
    def test_a_probe_is_written_read_and_deleted(self, moto: Moto, prefix: str, tmp_path: Path) -> None:
        settings = read_settings(None, data_dir=tmp_path, spool=moto.settings(tmp_path, prefix))

        (result,) = run_check(spool_store, settings)

        assert result.status is Status.OK, result.detail
        assert moto.names(prefix) == []

    def test_a_store_that_does_not_answer_is_named_without_its_secret(
        self, moto: Moto, prefix: str, line: Line, tmp_path: Path
    ) -> None:
        line.cut()
        settings = read_settings(None, data_dir=tmp_path, spool=moto.settings(tmp_path, prefix, line.port))

        (result,) = run_check(spool_store, settings)

        assert result.status is Status.FAIL
        assert "s3:PutObject" in result.advice
        assert SECRET not in result.detail + result.advice

    def test_a_store_that_refuses_conditions_needs_a_setting(
        self, moto: Moto, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse_conditions(monkeypatch)
        given = moto.settings(tmp_path, prefix)

        for conditional, status in ((True, Status.FAIL), (False, Status.OK)):
            settings = read_settings(None, data_dir=tmp_path, spool=given | {"conditional_create": conditional})
            (result,) = run_check(spool_store, settings)

            assert result.status is status, result.detail
            assert ("set spool.conditional_create: false" in result.advice) is conditional
        assert moto.names(prefix) == []

    def test_a_folder_needs_no_store(self, tmp_path: Path) -> None:
        (result,) = run_check(spool_store, read_settings(None, data_dir=tmp_path))

        assert result.status is Status.OK


class TestBackup:
    def test_the_ledger_is_copied_and_the_objects_stay(self, moto: Moto, prefix: str, tmp_path: Path) -> None:
        make_ledger(tmp_path).arrivals.record(make_instance())
        settings = read_settings(None, data_dir=tmp_path, spool=moto.settings(tmp_path / "keys", prefix))
        sources = sources_of(settings, None, with_secrets=False)

        about = make_backup(sources, tmp_path / "backup", lambda *_: None)
        restored = restore(tmp_path / "backup", tmp_path / "new", lambda *_: None)

        assert restored == about
        assert about.instances == 1
        assert any("versioning" in words for words in about.left_out)
        assert any("s3.secret: a secret" in words for words in about.left_out)
        assert SECRET not in sources.settings


def test_settings_of_a_store_are_whole(tmp_path: Path) -> None:
    for given, said in (
        ({"endpoint": "https://s3.example"}, "name its bucket"),
        ({"url": "s3://bucket", "access_key_id": "a"}, "or neither"),
        ({"url": "https://bucket"}, "url"),
        ({"url": "s3://bucket", "endpoint": "https://user:word@host"}, "endpoint"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            read_settings(None, data_dir=tmp_path, spool=given)
    settings = read_settings(None, spool={"url": "s3://bucket/a/b/"}).spool
    assert (settings.bucket, settings.prefix) == ("bucket", "a/b/")
    assert read_settings(None, spool={"url": "s3://bucket"}).spool.prefix == ""
