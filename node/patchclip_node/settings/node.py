"""All settings of a node, and how they are read.

Order, strongest first: environment (`PATCHCLIP_PORT`, `PATCHCLIP_WEB__PORT`, ...), the YAML file, the defaults here.
An unknown key is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from json import JSONDecodeError
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from patchclip_core.errors import not_known
from patchclip_core.typed_yaml import NOT_WRITTEN, PlacedError, Problem, described, problems, read_yaml, unusable
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.domain.pixel_check import PixelCheck
from patchclip_node.domain.plan import ResultPlan
from patchclip_node.domain.policy import RetentionPolicy, WorkPolicy
from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.routes import Routes
from patchclip_node.domain.transport_security import CertificateMark, PeerSecurity
from patchclip_node.domain.variants import ResultVariant
from patchclip_node.settings.alerts import AlertSettings
from patchclip_node.settings.audit import AuditSettings, CollectorSettings
from patchclip_node.settings.backfill import ArchiveSettings, BackfillSettings
from patchclip_node.settings.live import EVERY_PROCESS, live
from patchclip_node.settings.routes import RouteSettings
from patchclip_node.settings.section import Port
from patchclip_node.settings.sections import (
    SHIPPED_PROFILES,
    STANDARD_PROFILE,
    AeTitle,
    DestinationSettings,
    KnownCallerSettings,
    LimitSettings,
    LogSettings,
    Network,
    ProfileSettings,
    RetentionSettings,
    RetrySettings,
    TlsSettings,
)
from patchclip_node.settings.spool import SpoolSettings
from patchclip_node.settings.telemetry import TelemetrySettings
from patchclip_node.settings.web import WebSettings


class NodeSettings(BaseSettings):
    """All settings of a node. `conf/node.yaml` shows each with its meaning."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="PATCHCLIP_", env_nested_delimiter="__", validate_default=True
    )

    ae_title: AeTitle = "PATCHCLIP"
    """This node's AE title."""
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node listens on the hospital's network
    """Address that the receiver listens on."""
    port: Port = 11112
    """The receiver's port; 104 and 11112 are DICOM's own."""
    tls: Annotated[TlsSettings | None, live("receive", "deliver")] = None
    """The port speaks TLS, and both sides show certificates; None: plain DICOM."""
    allowed_networks: Annotated[tuple[Network, ...], live("receive")] = ()
    """Addresses of others are not listened to at all; empty: everybody's are."""
    accept_any_called_ae_title: Annotated[bool, live("receive")] = True
    """False: associations that call another AE title than `ae_title` are rejected."""
    calling_ae_titles: Annotated[tuple[AeTitle, ...], live("receive")] = ()
    """Who may associate; empty: everybody."""
    known_callers: Annotated[tuple[KnownCallerSettings, ...], live("receive")] = ()
    """Whom places are kept for; empty: callers that have sent before, by AE title and address."""
    data_dir: Path = Path("var")
    """Spool, embedded ledger and embedded queue live here."""
    spool: SpoolSettings = SpoolSettings()
    """Where received images and results are kept."""
    ledger_url: str | None = None
    """SQLAlchemy URL; default: SQLite in data_dir."""
    broker_url: str | None = None
    """Celery broker; default: the filesystem transport in data_dir."""
    model: str = "demo"
    """A checkpoint folder, or the name of one that the package ships."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What the model runs on; auto: a GPU where there is one. One exported to ONNX runs on processors alone."""
    tiles: Annotated[int, Field(ge=1, le=8)] = 1
    """The model also looks at the radiograph in tiles x tiles parts, for small findings; 1: at the whole alone."""
    receivers: Annotated[int, Field(ge=1, le=16)] | None = None
    """How many processes take images in behind the one port; None: two, or one on one core. Under TLS it is one."""
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many workers `serve` starts; None: as many as the machine carries, one for each four cores and 2 GiB."""
    studies_at_once: Annotated[int, Field(ge=1, le=16), live("work")] = 2
    """How many studies a worker has at hand. On processors its model sees that many at a time, each on a share."""
    findings_file: Annotated[Path | None, live("work", "web")] = None
    """Names, codes and colours of findings; default: conf/findings.yaml as shipped."""
    radiographs_file: Annotated[Path | None, live("work")] = None
    """The site's own words for body parts and views, beside those of conf/radiographs.yaml."""
    pixel_check: Annotated[PixelCheck, live("work")] = PixelCheck.REMARK
    """What becomes of an image whose pixels do not look like a frontal chest radiograph."""
    quiet_s: Annotated[float, Field(ge=0), live("work")] = 5.0
    """A study is complete when nothing new has come for this long."""
    max_open_s: Annotated[float, Field(gt=0), live("work")] = 600.0
    """A study to which images still come after this long is closed all the same; the rest of it is a new revision."""
    lease_s: Annotated[float, Field(ge=1), live("receive", "work", "deliver")] = 60.0
    """A worker that shows no sign of life for this long loses its study to another."""
    sweep_s: Annotated[float, Field(gt=0), live("work", "deliver")] = 2.0
    """How often each worker looks for open studies, ended leases and due work, in case that a call was lost."""
    profiles: Annotated[tuple[ProfileSettings, ...], live("work", "deliver")] = ()
    """Own result profiles, beside or instead of the shipped ones."""
    destinations: Annotated[tuple[DestinationSettings, ...], live("work", "deliver", "web")] = ()
    """Where results go; empty: they stay in the spool."""
    routes: Annotated[tuple[RouteSettings, ...], live("work")] = ()
    """Which images are analysed, and where results go; the first that holds counts; empty: all, and everywhere."""
    forward: bool = False
    """An edge receiver: images go on to all destinations as they came, and none is analysed; no worker runs."""
    renamed_destinations: Annotated[Mapping[str, str], live("deliver")] = {}
    """Former name of a destination -> its present one, which gets what still waits under the former."""
    earlier_results: Annotated[EarlierResults, live("work", "deliver", "web")] = EarlierResults.WITHDRAW
    """What becomes of a study's earlier results when later ones are made: a note withdraws them, or they stay."""
    web: Annotated[WebSettings, live("web")] = WebSettings()
    """Status pages, health and metrics."""
    limits: LimitSettings = LimitSettings()
    """What peers may take at most."""
    retry: Annotated[RetrySettings, live("receive", "work", "deliver")] = RetrySettings()
    """How often, and for how long, what failed is tried again."""
    retention: Annotated[RetentionSettings, live("deliver")] = RetentionSettings()
    """How long studies are kept."""
    backfill: Annotated[BackfillSettings, live("receive")] = BackfillSettings()
    """What `backfill` pulls from an archive, and how fast."""
    audit: Annotated[AuditSettings, live("deliver")] = AuditSettings()
    """The trail of who did what to whose data."""
    alerts: Annotated[AlertSettings, live("deliver")] = AlertSettings()
    """What a person is told of the node, and how."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Spans of each study's way."""
    log: Annotated[LogSettings, live(*EVERY_PROCESS)] = LogSettings()
    """What the log looks like."""

    @field_validator("destinations", "profiles", "routes")
    @classmethod
    def _names_are_unique(
        cls, value: tuple[DestinationSettings | ProfileSettings | RouteSettings, ...], info: ValidationInfo
    ) -> tuple[DestinationSettings | ProfileSettings | RouteSettings, ...]:
        names = [one.name for one in value]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"two {info.field_name} are named {', '.join(doubled)}")
        return value

    @model_validator(mode="after")
    def _certificates_are_named_for_all_or_none(self) -> Self:
        unnamed = [one.ae_title for one in self.known_callers if one.certificate is None]
        if len(unnamed) == len(self.known_callers):
            return self
        if self.tls is None:
            raise ValueError("known_callers name certificates, which callers show with tls alone")
        if unnamed:
            raise ValueError(f"known_callers: name the certificate of {', '.join(unnamed)} as well, or of none")
        return self

    @model_validator(mode="after")
    def _destinations_have_what_tls_needs(self) -> Self:
        for one in self.destinations:
            try:
                self.security_to(one)
            except ValueError as error:
                raise ValueError(f"destination {one.name}: {error}") from error
        if self.backfill.archive is not None:
            try:
                self.security_to_archive(self.backfill.archive)
            except ValueError as error:
                raise ValueError(f"backfill.archive: {error}") from error
        if self.audit.collector is not None:
            try:
                self.security_to_collector(self.audit.collector)
            except ValueError as error:
                raise ValueError(f"audit.collector: {error}") from error
        return self

    @model_validator(mode="after")
    def _profiles_exist(self) -> Self:
        for destination in self.destinations:
            try:
                self.profile(destination.profile)
            except ConfigurationError as error:
                raise ValueError(f"destination {destination.name}: {error}") from error
        return self

    @model_validator(mode="after")
    def _routes_name_destinations(self) -> Self:
        known = [destination.name for destination in self.destinations]
        for index, route in enumerate(self.routes):
            places: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
                (("destinations",), route.destinations or ()),
                (("hold", "destinations"), route.hold.destinations or ()),
            )
            for place, names in places:
                for at, name in enumerate(names):
                    if name not in known:
                        said = f"there is no destination {name!r}; {not_known(name, known)}"
                        raise PlacedError(("routes", index, *place, at), said)
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
    def _forwards_images_alone(self) -> Self:
        if not self.forward:
            return self
        if not self.destinations:
            raise ValueError("forward: name under destinations where images go")
        for one in self.destinations:
            if one.profile != STANDARD_PROFILE or one.objects is not None:
                raise ValueError(f"destination {one.name}: with forward it gets images, and no profile or objects")
        if self.routes:
            raise ValueError("routes say what is analysed; with forward nothing is: set them at the node that analyses")
        if self.alerts.canary is not None:
            raise ValueError("alerts.canary: with forward its study would go on; set it at the node that analyses")
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

    def security_to(self, destination: DestinationSettings) -> PeerSecurity | None:
        """Return with what TLS to a destination is spoken; None where it is plain DICOM."""
        return None if destination.tls is None else destination.tls.security(destination.host, self.tls)

    def security_to_archive(self, archive: ArchiveSettings) -> PeerSecurity | None:
        """Return with what TLS to the archive of `backfill` is spoken; None where it is plain DICOM."""
        return None if archive.tls is None else archive.tls.security(archive.host, self.tls)

    def security_to_collector(self, collector: CollectorSettings) -> PeerSecurity:
        """Return with what TLS to the collector of audit messages is spoken."""
        return collector.tls.security(collector.host, self.tls)

    def security_of_reports_to(self, caller: KnownCallerSettings) -> PeerSecurity | None:
        """Return likewise for reports to a caller: over TLS where it comes over TLS."""
        if self.tls is None:
            return None
        return PeerSecurity(self.tls.credentials, CertificateMark(caller.certificate or caller.address))

    def names_of(self, destination: DestinationSettings) -> tuple[str, ...]:
        """Return what the ledger knows a destination by: its name, and those that it had before."""
        former = sorted(old for old, new in self.renamed_destinations.items() if new == destination.name)
        return (destination.name, *former)

    def refuse_unknown_findings(self, known: Collection[str]) -> None:
        """Raise `ConfigurationError` where a route waits for a finding that the findings file does not have."""
        for route in self.routes:
            for key in route.hold.findings or ():
                if key not in known:
                    raise ConfigurationError(
                        f"route {route.name}: hold.findings: there is no finding {key!r}; {not_known(key, known)}"
                    )

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
        """What is built and who gets it."""
        return ResultPlan(
            destinations={destination.name: self.variants_for(destination) for destination in self.destinations},
            earlier=self.earlier_results,
            routes=Routes(tuple(one.route for one in self.routes)),
        )

    @property
    def work_policy(self) -> WorkPolicy:
        """How long work is leased and how often it is tried."""
        return WorkPolicy(lease_s=self.lease_s, **self.retry.model_dump())

    @property
    def delivery_policy(self) -> WorkPolicy:
        """The same for what goes to destinations. An edge receiver tries for ever: it has acknowledged the images."""
        return replace(self.work_policy, deliver_for_s=inf) if self.forward else self.work_policy

    @property
    def retention_policy(self) -> RetentionPolicy:
        """How long studies are kept. At an edge receiver what did not arrive is nowhere else, and has no end."""
        told = RetentionPolicy(**self.retention.model_dump())
        return replace(told, undelivered_days=None) if self.forward else told

    @property
    def spool_dir(self) -> Path:
        """Folder of the spool: all of it, or of an S3 store what this host holds for a while."""
        return self.data_dir / "spool"

    @property
    def audit_dir(self) -> Path:
        """Folder of the audit trail's files."""
        return self.audit.folder or self.data_dir / "audit"

    @property
    def queue_dir(self) -> Path:
        """Folder of the embedded queue."""
        return self.data_dir / "queue"

    @property
    def results_bell(self) -> Path:
        """What a worker rings when results are to be sent."""
        return self.queue_dir / "results.bell"

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
    values = NOT_WRITTEN if path is None else read_yaml(path, ConfigurationError, what)
    _refuse_unknown_environment()
    try:
        return NodeSettings(**(values | overrides))
    except SettingsError as error:
        raise ConfigurationError(_unreadable_variable(error)) from error
    except ValidationError as error:
        title = "the settings:" if path is None else unusable(path, what)
        found = [_with_its_variable(one, values) for one in problems(NodeSettings, error, what, values)]
        raise ConfigurationError(described(title, found)) from error


TEST_VARIABLES: Final = frozenset({"PATCHCLIP_TEST_DATA", "PATCHCLIP_TEST_PICTURES", "PATCHCLIP_REQUIRE_PEERS"})
"""What only the tests read. A shell in which they run may start a node, too."""

_ENVIRONMENT_NOT_SETTINGS: Final = TEST_VARIABLES | {"PATCHCLIP_CONFIG"}


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of an environment that are settings."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PATCHCLIP_") and name not in _ENVIRONMENT_NOT_SETTINGS
    }


def _refuse_unknown_environment() -> None:
    """A misspelt PATCHCLIP_ variable is as much an error as a misspelt key in the file."""
    known = {name.upper() for name in NodeSettings.model_fields}
    for name in own_variables(os.environ):
        key = name.removeprefix("PATCHCLIP_").split("__")[0]
        if key not in known:
            near = not_known(key.lower(), tuple(NodeSettings.model_fields))
            raise ConfigurationError(f"the environment variable {name} names no setting; {near}")


def _unreadable_variable(error: SettingsError) -> str:
    """Name the variable whose JSON pydantic could not read. The value is not shown: it may hold a password."""
    found = error.__cause__
    if not isinstance(found, JSONDecodeError):
        return f"the environment: {error}"
    names = [name for name, value in os.environ.items() if name.startswith("PATCHCLIP_") and value == found.doc]
    return (
        f"the environment variable {' or '.join(names)} is not valid JSON: {found.msg} at character {found.pos + 1}; "
        "write a list as [...] and a section as {...}, with names and text in double quotes"
    )


def _with_its_variable(problem: Problem, values: Mapping[str, Any]) -> Problem:
    """Name the variable that a wrong value stands in. That of a whole section counts where the file has none of it."""
    section, *rest = problem.place.upper().split(".")
    names = ["__".join([f"PATCHCLIP_{section}", *rest])]
    if section.lower() not in values:
        names.append(f"PATCHCLIP_{section}")
    name = next((name for name in names if name in os.environ), None)
    if name is None:
        return problem
    return Problem(problem.place, f"{problem.said} (the environment variable {name})")
