"""Objects in an S3 bucket: each created once, verified, read, and deleted. Nothing is renamed or overwritten.

A PUT carries MD5 and SHA-256 of its bytes, by which the store refuses what arrives otherwise. It counts when the store
has answered with a digest of what it holds, or when that was read back and found whole.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from patchclip_node.domain.errors import DamagedFileError, SpoolUnavailableError

CHUNK_BYTES: Final = 256 * 1024
_CONNECTIONS: Final = 64
"""As many associations may keep an instance at the same time without a wait."""
_ANSWERS_WITHIN_S: Final = 2.0
"""Pages and health checks do not wait for longer to hear whether the store is there."""
_EXISTS: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_ABSENT: Final = frozenset({"NoSuchKey"})
_REFUSED: Final = frozenset({"NotImplemented", "501"})
_ENCRYPTED: Final = ("ServerSideEncryption", "SSECustomerAlgorithm")


class KeyTakenError(SpoolUnavailableError):
    """There is an object of that name already; it was not touched."""


class ConditionRefusedError(SpoolUnavailableError):
    """The store takes no PUT that is conditional."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where objects lie, and how the store is asked.

    prefix: of each name, '' or with a slash at its end. endpoint: the store's address; None: Amazon's for the region.
    access_key_id, secret: None: what the environment or the machine's role gives. ca: authorities of its certificate in
    PEM; None: the system's. timeout_s: to connect, and without a byte. conditional: it takes `If-None-Match: *`.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret: str | None = None
    ca: Path | None = None
    timeout_s: float = 10.0
    conditional: bool = True

    def __repr__(self) -> str:
        return f"S3Place(s3://{self.bucket}/{self.prefix})"  # no secret in a log


@dataclass(frozen=True, slots=True)
class Stored:
    """What an object says of its content. sha256: of the content as it was written. packed: by zlib."""

    sha256: str
    size_bytes: int
    packed: bool = False

    def metadata(self) -> dict[str, str]:
        """Return it as it stands beside the object."""
        return {"sha256": self.sha256, "size": str(self.size_bytes), "packed": "zlib" if self.packed else "no"}

    @staticmethod
    def of(metadata: Mapping[str, str], name: str) -> Stored:
        """Read it. Raises `DamagedFileError` where it is not what a node writes."""
        values = {key.lower(): value for key, value in metadata.items()}
        try:
            return Stored(values["sha256"], int(values["size"]), values["packed"] == "zlib")
        except (KeyError, ValueError) as error:
            raise DamagedFileError(f"the object {name} was not written by a node, or was overwritten") from error


class S3Store:
    """A bucket, or the part of it below a prefix; for several threads.

    Each method raises `SpoolUnavailableError`, whose text says what the store or the network said, where nothing was
    decided.
    """

    def __init__(self, place: S3Place) -> None:
        self._place = place
        session = _session()
        self._reading = self._client(session, attempts=2, timeout_s=place.timeout_s)
        # A PUT whose answer was lost is tried under another name.
        self._writing = self._client(session, attempts=1, timeout_s=place.timeout_s)
        self._asking = self._client(session, attempts=1, timeout_s=min(_ANSWERS_WITHIN_S, place.timeout_s))

    def __str__(self) -> str:
        at = f" at {self._place.endpoint}" if self._place.endpoint else ""
        return f"s3://{self._place.bucket}/{self._place.prefix}{at}"

    def _client(self, session: Any, attempts: int, timeout_s: float) -> Any:
        place = self._place
        config = Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            signature_version="s3v4",
            s3={"addressing_style": "path"} if place.endpoint else None,
            request_checksum_calculation="when_required",  # PUTs carry a better one
            response_checksum_validation="when_required",  # what is read is checked by its SHA-256
        )
        try:
            return session.create_client(
                "s3",
                region_name=place.region,
                endpoint_url=place.endpoint,
                aws_access_key_id=place.access_key_id,
                aws_secret_access_key=place.secret,
                verify=str(place.ca) if place.ca else None,
                config=config,
            )
        except (BotoCoreError, ValueError, OSError) as error:
            raise self._unavailable(error) from error

    def create(self, name: str, content: IO[bytes], stored: Stored) -> None:
        """Make an object of all that is left in `content`, which can be read twice; return once the store vouches.

        Raises `KeyTakenError`, `ConditionRefusedError`, and `SpoolUnavailableError`: then the object may be there or
        come about later.
        """
        size_bytes, md5, sha256 = _digests(content)
        arguments: dict[str, Any] = {
            "Bucket": self._place.bucket,
            "Key": self._place.prefix + name,
            "Body": content,
            "ContentLength": size_bytes,
            "ContentMD5": base64.b64encode(md5).decode(),
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": base64.b64encode(sha256).decode(),
            "Metadata": stored.metadata(),
        }
        if self._place.conditional:
            arguments["IfNoneMatch"] = "*"
        with self._translated(conditional=self._place.conditional):
            answer = self._writing.put_object(**arguments)
        if not _vouches(answer, md5.hex(), arguments["ChecksumSHA256"]):
            self._read_back(name, size_bytes, sha256)

    def _read_back(self, name: str, size_bytes: int, sha256: bytes) -> None:
        digest, seen_bytes = hashlib.sha256(), 0
        with self.opened(name) as (_, chunks):
            for chunk in chunks:
                digest.update(chunk)
                seen_bytes += len(chunk)
        if (seen_bytes, digest.digest()) != (size_bytes, sha256):
            raise SpoolUnavailableError(f"{self} holds {seen_bytes} other bytes than the {size_bytes} that it was sent")

    @contextmanager
    def opened(self, name: str) -> Iterator[tuple[Stored, Iterator[bytes]]]:
        """Give what an object says of itself, and its bytes in pieces. Raises `FileNotFoundError`."""
        with self._translated(name):
            answer = self._reading.get_object(Bucket=self._place.bucket, Key=self._place.prefix + name)
        with closing(answer["Body"]) as body:
            yield Stored.of(answer["Metadata"], name), self._chunks(body)

    def _chunks(self, body: Any) -> Iterator[bytes]:
        with self._translated():
            yield from body.iter_chunks(CHUNK_BYTES)

    def holds(self, name: str) -> bool:
        """Tell whether an object is there. A bucket that is gone is not the same as an object that is."""
        try:
            with self._translated(name):
                # HEAD would say 404 for both; this costs one byte.
                answer = self._reading.get_object(
                    Bucket=self._place.bucket, Key=self._place.prefix + name, Range="bytes=0-0"
                )
        except FileNotFoundError:
            return False
        answer["Body"].close()
        return True

    def delete(self, name: str) -> None:
        """Delete an object; an absent one is not an error."""
        with self._translated():
            self._reading.delete_object(Bucket=self._place.bucket, Key=self._place.prefix + name)

    def ask(self) -> None:
        """Return where the store answers and shows the bucket."""
        with self._translated():
            self._asking.list_objects_v2(Bucket=self._place.bucket, Prefix=self._place.prefix, MaxKeys=1)

    @contextmanager
    def _translated(self, name: str | None = None, *, conditional: bool = False) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if name is not None and code in _ABSENT:
                raise FileNotFoundError(f"{self} does not hold the object {name}") from error
            if code in _EXISTS:
                raise KeyTakenError(f"{self} has an object of that name already") from error
            if code in _REFUSED and conditional:
                raise ConditionRefusedError(
                    f"the spool's store {self} refuses If-None-Match, so set spool.conditional_create: false: {error}"
                ) from error
            raise self._unavailable(error) from error
        except (BotoCoreError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> SpoolUnavailableError:
        return SpoolUnavailableError(f"the spool's store {self} cannot be used: {error}")


@cache
def _session() -> Any:
    """Return what clients are made by: it has read the API's description, which takes a tenth of a second."""
    return botocore.session.Session()


def _digests(content: IO[bytes]) -> tuple[int, bytes, bytes]:
    """Return size, MD5 and SHA-256 of what is left of a file, and go back to where it stood."""
    start, md5, sha256 = content.tell(), hashlib.md5(usedforsecurity=False), hashlib.sha256()
    while chunk := content.read(CHUNK_BYTES):
        md5.update(chunk)
        sha256.update(chunk)
    size_bytes = content.tell() - start
    content.seek(start)
    return size_bytes, md5.digest(), sha256.digest()


def _vouches(answer: Mapping[str, Any], md5: str, sha256: str) -> bool:
    """Tell whether the answer to a PUT names a digest of what is stored.

    An ETag is the MD5 of the stored bytes but where the store encrypts by a key of a key service or of the client;
    there the SHA-256 that it checked counts.
    """
    if str(answer.get("ETag", "")).strip('"') == md5:
        return True
    return any(answer.get(name) for name in _ENCRYPTED) and answer.get("ChecksumSHA256") == sha256
