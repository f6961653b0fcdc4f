"""What every section of the settings is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Port = Annotated[int, Field(ge=1, le=65535)]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""What settings call something: a-z, 0-9, - and _."""


class Section(BaseModel):
    """A part of the settings: frozen, and without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


__all__ = ["Name", "Port", "Section"]
