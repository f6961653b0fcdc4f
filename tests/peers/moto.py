"""moto's server, on loopback or on a host of a test: the API of S3, kept in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from patchclip_node.adapters.s3.store import S3Place
from tests.peers.processes import free_port, program

KEY_ID, SECRET = "of-the-tests", "not-to-be-shown-anywhere"
BUCKET = "hospital"


@dataclass(frozen=True, slots=True)
class Moto:
    """A server that forgets everything when it ends."""

    folder: Path
    port: int
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.address}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server, with an empty bucket, for the time of the context."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
        with program(self.arguments, self.folder / "moto.log", port=self.port, env=environment, patience_s=1):
            self.client.create_bucket(Bucket=BUCKET)
            yield

    @property
    def arguments(self) -> list[str]:
        """How the server is called."""
        return [sys.executable, "-m", "moto.server", "-H", self.address, "-p", str(self.port)]

    @property
    def client(self) -> Any:
        """A client outside the product."""
        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )

    def place(self, prefix: str = "", port: int | None = None, **other: Any) -> S3Place:
        """The bucket as the product is told of it, perhaps by a line on another port."""
        endpoint = f"http://{self.address}:{port or self.port}"
        return S3Place(BUCKET, prefix, endpoint, access_key_id=KEY_ID, secret=SECRET, **{"timeout_s": 3.0} | other)

    def settings(self, folder: Path, prefix: str = "", port: int | None = None) -> dict[str, Any]:
        """The section `spool` of a configuration; the secret's file goes into `folder`."""
        secret = folder / "s3.secret"
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text(f"{SECRET}\n")
        secret.chmod(0o600)
        return {
            "url": f"s3://{BUCKET}/{prefix}".rstrip("/"),
            "endpoint": f"http://{self.address}:{port or self.port}",
            "access_key_id": KEY_ID,
            "secret_key_file": str(secret),
            "timeout_s": 3.0,
        }

    def names(self, prefix: str = "") -> list[str]:
        """The names of all objects below a prefix."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    def put(self, name: str, content: bytes, **other: Any) -> None:
        """Write an object outside the product, over what is there."""
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content, **other)

    def content(self, name: str) -> tuple[bytes, dict[str, str]]:
        """An object's bytes and what is said of it."""
        answer = self.client.get_object(Bucket=BUCKET, Key=name)
        return answer["Body"].read(), answer["Metadata"]


def new_moto(folder: Path, address: str = "127.0.0.1") -> Moto:
    """Choose a port; the server is not running yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Moto(folder, free_port(), address)
