"""What every section of the settings is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A part of the settings: frozen, and without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


__all__ = ["Port", "Section"]
