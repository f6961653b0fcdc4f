"""Where the spool's files are kept, as settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from patchclip_node.settings.section import Section

Bucket = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+){0,8}/?$"
    ),
]
Endpoint = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^https?://[^\s@/?#]+/?$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SpoolSettings(Section):
    """What holds received images and results: a folder of this host, or an S3 store that several hosts share."""

    url: Bucket | None = None
    """s3://BUCKET/PREFIX, which needs the extra `s3`; None: the folder `spool` below data_dir."""
    endpoint: Endpoint | None = None
    """The store's address, such as https://s3.hospital.example:9000; None: Amazon's for the region."""
    region: Text = "us-east-1"
    """The bucket's region; most stores but Amazon's take any."""
    access_key_id: Text | None = None
    """The public half of the key; None: what the environment (AWS_ACCESS_KEY_ID ...) or the machine's role gives."""
    secret_key_file: Path | None = None
    """Its first line is the secret half; others may not read it. It is read when a process starts."""
    ca: Path | None = None
    """Authorities that the store's certificate comes from, in PEM; None: the usual ones."""
    conditional_create: bool = True
    """PUTs say If-None-Match: *, so that no object is ever overwritten; false: for a store that refuses the header."""
    timeout_s: Annotated[float, Field(ge=1, le=300)] = 10.0
    """Longest wait for a connection to the store, and for its next byte."""
    cache_bytes: Annotated[int, Field(ge=0)] = 4 * 1024**3
    """What of the store's files this host keeps to read again, below data_dir; 0: nothing."""

    @model_validator(mode="after")
    def _names_a_store_as_a_whole(self) -> Self:
        others = ("endpoint", "access_key_id", "secret_key_file", "ca")
        named = [name for name in others if getattr(self, name) is not None]
        if self.url is None and named:
            raise ValueError(f"{named[0]} is of an S3 store: name its bucket by url, or leave {', '.join(named)} out")
        if (self.access_key_id is None) != (self.secret_key_file is None):
            raise ValueError("name access_key_id and secret_key_file, or neither")
        return self

    @property
    def bucket(self) -> str:
        """The bucket of `url`."""
        return (self.url or "").removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What stands before each object's name: '', or with a slash at its end."""
        path = (self.url or "").removeprefix("s3://").partition("/")[2].strip("/")
        return path and f"{path}/"


__all__ = ["SpoolSettings"]
