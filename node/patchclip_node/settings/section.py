"""What every section of the settings is."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Port = Annotated[int, Field(ge=1, le=65535)]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""What settings call something: a-z, 0-9, - and _."""


def web_address(value: str) -> str:
    """Return an address that web clients take; raises `ValueError` for another."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    return value


class Section(BaseModel):
    """A part of the settings: frozen, and without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


__all__ = ["Name", "Port", "Section", "web_address"]
