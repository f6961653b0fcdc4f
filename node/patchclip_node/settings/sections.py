"""The sections of the settings: what a destination, a caller, a limit is made of."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from patchclip_core.values.wording import languages
from patchclip_node.domain.backlog import BacklogLimit
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity, TlsCredentials, TlsProfile
from patchclip_node.domain.variants import LONGEST_SIDE_PX, Drawing, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.settings.live import live
from patchclip_node.settings.section import Name, Port, Section

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[\x20-\x5b\x5d-\x7e]+$")
]
"""PS3.5 6.2, VR AE: 1 to 16 characters of the default repertoire, no backslash, not only spaces."""


def _network(value: object) -> IPv4Network | IPv6Network:
    return ip_network(str(value))


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
"""Such as 192.0.2.0/24 or 2001:db8::/32; an address alone is a network of one."""


SeriesNumber = Annotated[int, Field(ge=1, le=2_000_000_000)]
SeriesDescription = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
"""Leaves room in the 64 characters of an LO (PS3.5 6.2) for what is always said of the model."""


class ProfileSettings(Section):
    """What a kind of destination gets: the objects that its viewers show."""

    name: Name
    """What destinations call it."""
    objects: tuple[ResultKind, ...]
    """Which kinds of objects are sent."""
    geometry: PlaneGeometry = PlaneGeometry.IDENTITY
    """What segmentations say of their plane."""
    drawing: Drawing = Drawing.CONTOUR
    """How pictures show a place."""
    longest_side_px: Annotated[int, Field(ge=1200, le=4096)] = LONGEST_SIDE_PX
    """Pictures are at most this high or wide; in smaller ones the legend cannot be read."""
    language: str = "en"
    """RFC 5646 tag of a table in conf/wording/: what all objects say in words. Codes stay as they are."""
    series_numbers: Mapping[ResultKind, SeriesNumber] = {}
    """First Series Number of a kind, instead of the usual one."""
    series_descriptions: Mapping[ResultKind, SeriesDescription] = {}
    """Series Description of a kind, instead of the usual one; what the model is follows it in any case."""
    fallback: bool = False
    """Pictures (sc) go instead of objects whose class the destination refuses."""

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, value: str) -> str:
        if value not in languages():
            raise ValueError(f"there is no wording in {value!r}: take one of {', '.join(languages())}")
        return value

    def variants(self, objects: tuple[ResultKind, ...] | None = None) -> tuple[ResultVariant, ...]:
        """Return what is to be built; `objects` instead of the profile's own, in its way of showing them."""
        return tuple(map(self.variant, dict.fromkeys(self.objects if objects is None else objects)))

    def variant(self, kind: ResultKind) -> ResultVariant:
        """Return one kind of object as this profile has it."""
        return ResultVariant(
            kind,
            geometry=self.geometry if kind.has_geometry else None,
            drawing=self.drawing if kind.is_picture else Drawing.CONTOUR,
            longest_side_px=self.longest_side_px if kind.is_picture else LONGEST_SIDE_PX,
            language=self.language,
            series_number=self.series_numbers.get(kind),
            series_description=self.series_descriptions.get(kind, ""),
        )

    @property
    def pictures(self) -> ResultVariant | None:
        """What goes instead of an object whose class is refused; None where nothing does."""
        return self.variant(ResultKind.SC) if self.fallback else None


STANDARD_PROFILE = "standard"

SHIPPED_PROFILES = (
    ProfileSettings(name=STANDARD_PROFILE, objects=(ResultKind.SR, ResultKind.SEG), fallback=True),
    ProfileSettings(name="ohif", objects=(ResultKind.SR, ResultKind.SEG, ResultKind.SC), fallback=True),
    ProfileSettings(name="legacy", objects=(ResultKind.TEXT_SR, ResultKind.SC), fallback=True),
    ProfileSettings(name="research", objects=tuple(ResultKind), fallback=True),
)
"""Profiles that every node knows. An own one of the same name takes its place.

All fall back: a destination that refuses a report would get nothing otherwise.
"""


class TlsSettings(Section):
    """With what the node shows who it is, and whom it believes. Files in PEM."""

    certificate: Path
    """The node's certificate, followed by those of its chain."""
    key: Path
    """Its private key, without a password."""
    ca: Path
    """The authorities that peers' certificates have to come from."""
    crl: Path | None = None
    """Revocation lists, one of each authority; without one nothing is revoked."""
    profile: TlsProfile = TlsProfile.BCP195
    """PS3.15 B.12 (bcp195) or B.13 (strict)."""

    @property
    def credentials(self) -> TlsCredentials:
        """The same for who makes connections of it."""
        return TlsCredentials(self.certificate, self.key, self.ca, self.crl, self.profile)


class DestinationTlsSettings(Section):
    """TLS to a destination. What is not said is as under the node's own `tls`."""

    certificate: Path | None = None
    """The node's certificate for this destination, in PEM; none: that of `tls`."""
    key: Path | None = None
    """Its private key; none: that of `tls`."""
    ca: Path | None = None
    """Authorities that the destination's certificate may come from; none: those of `tls`."""
    crl: Path | None = None
    """Revoked certificates; none: those of `tls`, unless `ca` is another."""
    profile: TlsProfile | None = None
    """PS3.15 B.12 (bcp195) or B.13 (strict); none: that of `tls`."""
    peer: str | None = None
    """The name in its certificate, or the SHA-256 fingerprint of it; None: its host."""

    def security(self, host: str, own: TlsSettings | None) -> PeerSecurity:
        """Return it complete. Raises `ValueError` where something is said neither here nor there."""
        own_crl_is_of_another = self.ca is not None and self.crl is None
        told = (own.model_dump() if own else {}) | self.model_dump(exclude_none=True, exclude={"peer"})
        if own_crl_is_of_another:
            told.pop("crl", None)
        missing = [name for name in ("certificate", "key", "ca") if name not in told]
        if missing:
            raise ValueError(f"tls: {', '.join(missing)} is said neither here nor under the node's own tls")
        return PeerSecurity(TlsCredentials(**told), CertificateMark(self.peer or host))


class DestinationSettings(Section):
    """A storage SCP that results are sent to."""

    name: Name
    """Name in logs and status pages; also what the ledger remembers, see `renamed_destinations`."""
    ae_title: AeTitle
    """Its AE title."""
    host: str
    """Its address or name."""
    port: Port
    """Its port."""
    profile: str = STANDARD_PROFILE
    """Name of the result profile: which objects this destination gets, and how."""
    objects: tuple[ResultKind, ...] | None = None
    """Which objects it gets instead of those of its profile."""
    confirm: Confirmation = Confirmation.NONE
    """What makes an object count as delivered: its acknowledgement, that the archive finds it, or that it commits."""
    tls: DestinationTlsSettings | None = None
    """None: plain DICOM."""


class KnownCallerSettings(Section):
    """A sender that places are kept for."""

    ae_title: AeTitle
    """Its AE title."""
    address: str
    """IP address that it connects from; AE titles can be claimed by anybody."""
    port: Port | None = None
    """Where it takes storage commitment's reports; None: it may not ask for commitment."""
    certificate: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    """Where the node has `tls`: a name in its certificate, or the SHA-256 fingerprint of it."""

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return str(ip_address(value))


class LimitSettings(Section):
    """What is too much."""

    max_associations: Annotated[int, Field(ge=1, le=1000), live("receive")] = 20
    """Associations at the same time, of all callers together."""
    max_associations_per_address: Annotated[int, Field(ge=1, le=1000), live("receive")] = 10
    """Of one known caller, and of all others at one address."""
    associations_kept_for_known: Annotated[int, Field(ge=0, le=1000), live("receive")] = 5
    """Of max_associations, for `known_callers` or who has sent before."""
    urgent_studies_an_hour: Annotated[int, Field(ge=0), live("receive")] = 60
    """Of one address and receiving process; further studies that call themselves STAT or HIGH are routine."""
    max_instance_bytes: Annotated[int, Field(ge=1)] = 512 * 1024**2
    """A larger instance is refused with 0xA700 while it arrives."""
    max_image_pixels: Annotated[int, Field(ge=1), live("work", "web")] = 100_000_000
    """Rows x Columns above this are not decoded."""
    decode_timeout_s: Annotated[float, Field(gt=0), live("work", "web")] = 60.0
    """An image whose decoding takes longer is not analysed."""
    decode_memory_bytes: Annotated[int, Field(ge=256 * 1024**2), live("work", "web")] = 4 * 1024**3
    """Address space of the decoding process."""
    analysis_timeout_s: Annotated[float, Field(gt=0), live("work")] = 600.0
    """A worker whose model takes longer for an image is ended, and started again by what supervises it."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 1024**3
    """The spool refuses new instances when less than this would stay free."""
    max_waiting_studies: Annotated[int | None, Field(ge=1), live("receive", "deliver", "web")] = None
    """With this many studies waiting for their analysis images of new ones get 0xA700; None: while there is room."""
    waiting_studies_again: Annotated[int | None, Field(ge=0), live("receive", "deliver", "web")] = None
    """With this many or fewer waiting they are taken again; None: with four fifths of max_waiting_studies."""

    @model_validator(mode="after")
    def _opens_below_where_it_closes(self) -> Self:
        most, again = self.max_waiting_studies, self.waiting_studies_again
        if again is not None and (most is None or again >= most):
            raise ValueError("waiting_studies_again must be below max_waiting_studies")
        return self

    @property
    def backlog(self) -> BacklogLimit:
        """How many studies may wait."""
        return BacklogLimit(self.max_waiting_studies, self.waiting_studies_again)


class RetrySettings(Section):
    """How often, how long and when to try again: the n-th wait is backoff_s * 2**(n-1), at most backoff_max_s."""

    analysis_attempts: Annotated[int, Field(ge=1)] = 5
    """How often a study is analysed before it counts as failed."""
    commit_within_s: Annotated[float, Field(gt=0)] = 3600.0
    """Where a destination has `confirm: commitment`: what it has not committed to for this long is sent again."""
    deliver_for_s: Annotated[float, Field(gt=0)] = 7 * 86_400.0
    """A result that a destination did not take for this long has failed there."""
    backoff_s: Annotated[float, Field(gt=0)] = 5.0
    """Wait after the first failure; each further one doubles it."""
    backoff_max_s: Annotated[float, Field(gt=0)] = 3600.0
    """Longest wait between two tries."""


Days = Annotated[float, Field(gt=0)]


class RetentionSettings(Section):
    """How long a study is kept, whole, after it ended: images, results, pictures and rows; null: until it is purged."""

    returned_days: Days | None = 7.0
    """Studies that are RETURNED, KEPT or REJECTED: nothing of them is owed any more."""
    undelivered_days: Days | None = 90.0
    """Studies that are PARTLY_RETURNED or FAILED."""
    recallable_days: Days | None = 365.0
    """How long after a study was purged its results can be recalled: their UIDs, patient and study are kept."""


class LogSettings(Section):
    """Logs go to standard error, one event a line."""

    format: Literal["console", "json"] = "console"
    """console: for people; json: a line for programs."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is less important than this is not logged."""
