"""The node's settings: typed, frozen, read once at bootstrap.

Order, strongest first: environment (`PATCHCLIP_PORT`, `PATCHCLIP_WEB__PORT`, ...), the YAML file, the defaults here.
An unknown key is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from patchclip_core.typed_yaml import described, problems, read_yaml, unusable
from patchclip_core.values.wording import languages
from patchclip_node.domain.confirmation import Confirmation
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.policy import RetentionPolicy, WorkPolicy
from patchclip_node.domain.variants import LONGEST_SIDE_PX, Drawing, PlaneGeometry, ResultKind, ResultVariant

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[\x20-\x5b\x5d-\x7e]+$")
]
"""PS3.5 6.2, VR AE: 1 to 16 characters of the default repertoire, no backslash, not only spaces."""

Port = Annotated[int, Field(ge=1, le=65535)]


_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


SeriesNumber = Annotated[int, Field(ge=1, le=2_000_000_000)]
SeriesDescription = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
"""Leaves room in the 64 characters of an LO (PS3.5 6.2) for what is always said of the model."""


class ProfileSettings(_Section):
    """What a kind of destination gets: the objects that its viewers show."""

    name: Annotated[str, StringConstraints(pattern=_NAME)]
    objects: tuple[ResultKind, ...]
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

All fall back: a destination that refuses a report would get nothing otherwise, and a picture is drawn for the status
pages in any case.
"""


class DestinationSettings(_Section):
    """A storage SCP that results are sent to."""

    name: Annotated[str, StringConstraints(pattern=_NAME)]
    """Name in logs and status pages; also what the ledger remembers, see `renamed_destinations`."""
    ae_title: AeTitle
    host: str
    port: Port
    profile: str = STANDARD_PROFILE
    """Name of the result profile: which objects this destination gets, and how."""
    objects: tuple[ResultKind, ...] | None = None
    """Which objects it gets instead of those of its profile."""
    confirm: Confirmation = Confirmation.NONE
    """What makes an object count as delivered: its acknowledgement, that the archive finds it, or that it commits."""


class KnownCallerSettings(_Section):
    """A sender that places are kept for."""

    ae_title: AeTitle
    address: str
    """IP address that it connects from; AE titles can be claimed by anybody."""
    port: Port | None = None
    """Where it takes storage commitment's reports; None: it may not ask for commitment."""

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return str(ip_address(value))


class WebSettings(_Section):
    """The status pages. They show patient names: keep them on loopback or behind your own access control."""

    host: str = "127.0.0.1"
    port: Port = 8042


class LimitSettings(_Section):
    """What is too much."""

    max_associations: Annotated[int, Field(ge=1, le=1000)] = 20
    max_associations_per_address: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of one known caller, and of all others at one address."""
    associations_kept_for_known: Annotated[int, Field(ge=0, le=1000)] = 5
    """Of max_associations, for `known_callers` or who has sent before."""
    urgent_studies_an_hour: Annotated[int, Field(ge=0)] = 60
    """Of one address; further studies that call themselves STAT or HIGH are routine."""
    max_instance_bytes: Annotated[int, Field(ge=1)] = 512 * 1024**2
    """A larger instance is refused with 0xA700 while it arrives."""
    max_image_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """Rows x Columns above this are not decoded."""
    decode_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    decode_memory_bytes: Annotated[int, Field(ge=256 * 1024**2)] = 4 * 1024**3
    """Address space of the decoding process."""
    analysis_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """A worker whose model takes longer for an image is ended, and started again by what supervises it."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 1024**3
    """The spool refuses new instances when less than this would stay free."""


class RetrySettings(_Section):
    """How often, how long and when to try again: the n-th wait is backoff_s * 2**(n-1), at most backoff_max_s."""

    analysis_attempts: Annotated[int, Field(ge=1)] = 5
    commit_within_s: Annotated[float, Field(gt=0)] = 3600.0
    """Where a destination has `confirm: commitment`: what it has not committed to for this long is sent again."""
    deliver_for_s: Annotated[float, Field(gt=0)] = 7 * 86_400.0
    """A result that a destination did not take for this long has failed there."""
    backoff_s: Annotated[float, Field(gt=0)] = 5.0
    backoff_max_s: Annotated[float, Field(gt=0)] = 3600.0


Days = Annotated[float, Field(gt=0)]


class RetentionSettings(_Section):
    """How long a study is kept, whole, after it ended: images, results, pictures and rows; null: until it is purged."""

    returned_days: Days | None = 7.0
    """Studies that are RETURNED or REJECTED: nothing of them is owed any more."""
    undelivered_days: Days | None = 90.0
    """Studies that are PARTLY_RETURNED or FAILED."""


class LogSettings(_Section):
    """Logs go to standard error, one event a line."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class NodeSettings(BaseSettings):
    """All settings of a node. `conf/node.yaml` shows each with its meaning."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="PATCHCLIP_", env_nested_delimiter="__", validate_default=True
    )

    ae_title: AeTitle = "PATCHCLIP"
    """This node's AE title."""
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node listens on the hospital's network
    port: Port = 11112
    accept_any_called_ae_title: bool = True
    """False: associations that call another AE title than `ae_title` are rejected."""
    calling_ae_titles: tuple[AeTitle, ...] = ()
    """Who may associate; empty: everybody."""
    known_callers: tuple[KnownCallerSettings, ...] = ()
    """Whom places are kept for; empty: callers that have sent before, by AE title and address."""
    data_dir: Path = Path("var")
    """Spool, embedded ledger and embedded queue live here."""
    ledger_url: str | None = None
    """SQLAlchemy URL; default: SQLite in data_dir."""
    broker_url: str | None = None
    """Celery broker; default: the filesystem transport in data_dir."""
    model: str = "demo"
    """A checkpoint folder, or the name of one that the package ships."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tiles: Annotated[int, Field(ge=1, le=8)] = 1
    """The model also looks at the radiograph in tiles x tiles parts, for small findings; 1: at the whole alone."""
    findings_file: Path | None = None
    """Names, codes and colours of findings; default: conf/findings.yaml as shipped."""
    radiographs_file: Path | None = None
    """The site's own words for body parts and views, beside those of conf/radiographs.yaml."""
    quiet_s: Annotated[float, Field(ge=0)] = 5.0
    """A study is complete when nothing new has come for this long."""
    max_open_s: Annotated[float, Field(gt=0)] = 600.0
    """A study to which images still come after this long is closed all the same; the rest of it is a new revision."""
    lease_s: Annotated[float, Field(ge=1)] = 60.0
    """A worker that shows no sign of life for this long loses its study to another."""
    sweep_s: Annotated[float, Field(gt=0)] = 1.0
    """How often each worker looks for quiet studies, ended leases and due work."""
    profiles: tuple[ProfileSettings, ...] = ()
    """Own result profiles, beside or instead of the shipped ones."""
    destinations: tuple[DestinationSettings, ...] = ()
    renamed_destinations: Mapping[str, str] = {}
    """Former name of a destination -> its present one, which gets what still waits under the former."""
    web: WebSettings = WebSettings()
    limits: LimitSettings = LimitSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()

    @field_validator("destinations", "profiles")
    @classmethod
    def _names_are_unique(
        cls, value: tuple[DestinationSettings | ProfileSettings, ...], info: ValidationInfo
    ) -> tuple[DestinationSettings | ProfileSettings, ...]:
        names = [one.name for one in value]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"two {info.field_name} are named {', '.join(doubled)}")
        return value

    @model_validator(mode="after")
    def _profiles_exist(self) -> Self:
        for destination in self.destinations:
            try:
                self.profile(destination.profile)
            except ConfigurationError as error:
                raise ValueError(f"destination {destination.name}: {error}") from error
        return self

    @model_validator(mode="after")
    def _renamed_destinations_exist(self) -> Self:
        names = {destination.name for destination in self.destinations}
        for former, present in self.renamed_destinations.items():
            if present not in names:
                raise ValueError(f"renamed_destinations: {former}: there is no destination {present}")
            if former in names:
                raise ValueError(f"renamed_destinations: {former} is the name of a destination, not a former one")
        return self

    @model_validator(mode="after")
    def _timings_agree(self) -> Self:
        if self.lease_s < 3 * self.sweep_s:
            raise ValueError("lease_s must be at least 3 * sweep_s, or a healthy worker loses its studies")
        if self.max_open_s < self.quiet_s:
            raise ValueError("max_open_s must be at least quiet_s, or no study is ever waited for")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls by these names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrides what is passed in, which is the file's content."""
        return env_settings, init_settings

    def variants_for(self, destination: DestinationSettings) -> tuple[ResultVariant, ...]:
        """Return what a destination gets: its own objects, else its profile's, in the profile's geometry."""
        return self.profile(destination.profile).variants(destination.objects)

    def names_of(self, destination: DestinationSettings) -> tuple[str, ...]:
        """Return what the ledger knows a destination by: its name, and those that it had before."""
        former = sorted(old for old, new in self.renamed_destinations.items() if new == destination.name)
        return (destination.name, *former)

    def profile(self, name: str) -> ProfileSettings:
        """Return a profile, an own one before a shipped one. Raises `ConfigurationError` where there is none."""
        known = {profile.name: profile for profile in (*SHIPPED_PROFILES, *self.profiles)}
        if name not in known:
            raise ConfigurationError(
                f"there is no profile {name!r}: take one of {', '.join(known)}, or define it under profiles"
            )
        return known[name]

    @property
    def result_plan(self) -> ResultPlan:
        """What is built and who gets it; pictures are ready for the case that a destination refuses what it gets."""
        pictures = (self.profile(destination.profile).pictures for destination in self.destinations)
        return ResultPlan(
            destinations={destination.name: self.variants_for(destination) for destination in self.destinations},
            kept_ready=tuple(dict.fromkeys(variant for variant in pictures if variant is not None)),
        )

    @property
    def work_policy(self) -> WorkPolicy:
        """How long work is leased and how often it is tried."""
        return WorkPolicy(lease_s=self.lease_s, **self.retry.model_dump())

    @property
    def retention_policy(self) -> RetentionPolicy:
        """How long studies are kept."""
        return RetentionPolicy(**self.retention.model_dump())

    @property
    def spool_dir(self) -> Path:
        """Folder of the file spool."""
        return self.data_dir / "spool"

    @property
    def queue_dir(self) -> Path:
        """Folder of the embedded queue."""
        return self.data_dir / "queue"

    @property
    def effective_ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger_url or f"sqlite:///{self.data_dir / 'ledger.sqlite'}"


def read_settings(path: Path | None, **overrides: Any) -> NodeSettings:
    """Read a YAML file and the environment. `overrides` replace the file's values, as tests and the demo need.

    Relative folders in the file are taken relative to the current directory. Raises `ConfigurationError`, which names
    each key that is wrong and why.
    """
    what = "the configuration"
    values = {} if path is None else read_yaml(path, ConfigurationError, what)
    _refuse_unknown_environment()
    try:
        return NodeSettings(**(values | overrides))
    except ValidationError as error:
        title = "the settings:" if path is None else unusable(path, what)
        raise ConfigurationError(described(title, problems(NodeSettings, error, what))) from error


TEST_VARIABLES: Final = frozenset({"PATCHCLIP_TEST_DATA", "PATCHCLIP_TEST_PICTURES", "PATCHCLIP_REQUIRE_PEERS"})
"""What only the tests read. A shell in which they run may start a node, too."""

_ENVIRONMENT_NOT_SETTINGS: Final = TEST_VARIABLES | {"PATCHCLIP_CONFIG"}


def _refuse_unknown_environment() -> None:
    """A misspelt PATCHCLIP_ variable is as much an error as a misspelt key in the file."""
    known = {name.upper() for name in NodeSettings.model_fields}
    for name in os.environ:
        if name.startswith("PATCHCLIP_") and name not in _ENVIRONMENT_NOT_SETTINGS:
            key = name.removeprefix("PATCHCLIP_").split("__")[0]
            if key not in known:
                raise ConfigurationError(f"the environment variable {name} names no setting")


__all__ = [
    "DestinationSettings",
    "KnownCallerSettings",
    "LimitSettings",
    "LogSettings",
    "NodeSettings",
    "ProfileSettings",
    "RetentionSettings",
    "RetrySettings",
    "WebSettings",
    "read_settings",
]
