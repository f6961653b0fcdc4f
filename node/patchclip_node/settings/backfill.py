"""Backfill as settings: the archive, what is pulled from it, and how fast."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from patchclip_node.domain.backfill import Hours, Pace, Wanted
from patchclip_node.settings.section import Port, Section, web_address
from patchclip_node.settings.sections import AeTitle, DestinationTlsSettings

Modality = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]{1,16}$")]
"""PS3.3 C.7.3.1.1.1, VR CS."""


def _address_alone(value: str) -> str:
    parts = urlsplit(web_address(value))
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("names a place alone: user and secret_file say who the node is there")
    return value


_HOURS = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


class ArchiveSettings(Section):
    """An archive that answers queries, and brings what it has."""

    ae_title: AeTitle
    """Its AE title."""
    host: str
    """Its address or name."""
    port: Port
    """Its port."""
    tls: DestinationTlsSettings | None = None
    """None: plain DICOM."""


class WebArchiveSettings(Section):
    """An archive that is asked over the web, by QIDO-RS and WADO-RS."""

    url: Annotated[str, AfterValidator(_address_alone)]
    """What stands before /studies, such as https://pacs.hospital.example/dicom-web."""
    user: str = ""
    """Who the node is there."""
    secret_file: Path | None = None
    """Its first line is the user's password; without `user` it is a bearer token. None: nothing is shown."""
    ca: Path | None = None
    """Authorities of the server's certificate, in PEM; None: the system's."""
    ae_title: AeTitle = "DICOMWEB"
    """What the ledger and the audit trail call it."""


class BackfillSettings(Section):
    """Studies of an archive that are analysed behind all that is sent to the node."""

    archive: ArchiveSettings | None = None
    """Where they are; none: there is nothing to pull from."""
    web: WebArchiveSettings | None = None
    """Where they are asked for over the web, with `by: web`."""
    by: Literal["move", "get", "web"] = "move"
    """C-MOVE to this node's AE title, C-GET over the association that asks, or WADO-RS over the web."""
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1)] = ("CR", "DX")
    """Series of these are pulled."""
    body_parts: tuple[str, ...] = ("chest",)
    """And of these parts, in the words of conf/radiographs.yaml, where the archive says one; empty: of all."""
    studies_an_hour: Annotated[float, Field(gt=0, le=100_000)] = 120.0
    """At most this number is pulled."""
    hours: Annotated[str, StringConstraints(pattern=_HOURS)] | None = None
    """Of the day, such as 20:00-06:00, by the clock on the wall; none: always."""
    yield_above: Annotated[int, Field(ge=0)] = 0
    """Nothing is pulled while more studies that were sent to the node are not analysed."""
    ahead: Annotated[int, Field(ge=1)] = 4
    """Nor while that many pulled ones are not analysed."""
    attempts: Annotated[int, Field(ge=1)] = 5
    """How often a study is tried before it counts as failed."""
    answers_at_most: Annotated[int, Field(ge=2, le=5000)] = 100
    """A query with as many answers is asked again in parts."""

    @field_validator("hours")
    @classmethod
    def _hours_last(cls, value: str | None) -> str | None:
        if value is not None and len(set(value.split("-"))) == 1:
            raise ValueError("hours that end as they start are all day: leave them out")
        return value

    @property
    def wanted(self) -> Wanted:
        """Which series are pulled."""
        return Wanted(self.modalities, self.body_parts)

    @property
    def pace(self) -> Pace:
        """How fast."""
        hours = None
        if self.hours is not None:
            start, end = self.hours.split("-")
            hours = Hours(time.fromisoformat(start), time.fromisoformat(end))
        return Pace(self.studies_an_hour, hours, self.yield_above, self.ahead, self.attempts)
