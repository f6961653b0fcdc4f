"""What tests know of any server with the API of S3: its bucket, its key, and a client outside the product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import botocore.session
from botocore.config import Config

from patchclip_node.adapters.s3.store import S3Place

ACCOUNT, USER = "hospital", "node"
KEY_ID, SECRET = f"{ACCOUNT}:{USER}", "not-to-be-shown-anywhere"
BUCKET = "hospital"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server on loopback or on a host of a test. conditional: whether it takes `If-None-Match: *` with a PUT."""

    folder: Path
    port: int
    address: str = "127.0.0.1"
    conditional: ClassVar[bool] = True

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.address}:{self.port}"

    @property
    def client(self) -> Any:
        """A client outside the product."""
        return _session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )

    def make_bucket(self) -> None:
        """Make the bucket where it is not there yet."""
        client = self.client
        try:
            client.create_bucket(Bucket=BUCKET)
        except client.exceptions.BucketAlreadyOwnedByYou:
            return

    def is_open(self) -> bool:
        """Say whether it answers; it then has the bucket."""
        try:
            self.make_bucket()
        except Exception:  # noqa: BLE001 - whatever says that it is not there yet
            return False
        return True

    def place(self, prefix: str = "", port: int | None = None, **other: Any) -> S3Place:
        """The bucket as the product is told of it, perhaps by a line on another port."""
        endpoint = f"http://{self.address}:{port or self.port}"
        values = {"timeout_s": 3.0, "conditional": self.conditional} | other
        return S3Place(BUCKET, prefix, endpoint, access_key_id=KEY_ID, secret=SECRET, **values)

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
            "conditional_create": self.conditional,
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


@cache
def _session() -> Any:
    """Read the API's description once."""
    return botocore.session.Session()
