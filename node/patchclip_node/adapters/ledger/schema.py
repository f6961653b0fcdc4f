"""The ledger's tables. `migrations/` holds how a database gets them; a test proves that both agree."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    literal_column,
    text,
)

from patchclip_node.domain.accounts import Role
from patchclip_node.domain.final_reports import ReportStatus
from patchclip_node.domain.recalls import RecallReason, RecallScope
from patchclip_node.domain.records import DeliveryState, WorkerRole
from patchclip_node.domain.release import AtTimeOut
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.domain.variants import ForwardedKind, NoteKind, ResultKind
from patchclip_node.domain.verdicts import VerdictKind, VerdictSource
from patchclip_node.ports.audit import AuditLane


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC in and out, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone: which moment it is cannot be known."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the ledger takes timezone-aware times, not {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give UTC, which SQLite's text does not say."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ForeignText(TypeDecorator[str]):
    """Text that a peer wrote. What no database can keep (NUL, lone surrogates) becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Replace what UTF-8 or PostgreSQL's text cannot hold."""
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def row_id() -> Any:
    """Return the type of a key that the database gives."""
    return BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's row id


def one_of(column: str, values: type[Enum], name: str, *further: type[Enum]) -> CheckConstraint:
    """Return the constraint that a column holds values of these enumerations."""
    listed = ", ".join(f"'{member.value}'" for members in (values, *further) for member in members)
    return CheckConstraint(f"{column} IN ({listed})", name=name)


def _only(column: str, condition: str) -> Index:
    """Return an index over few of a table's rows: it stays small while the table grows."""
    return Index(None, column, sqlite_where=text(condition), postgresql_where=text(condition))


SEARCH_COLUMNS = ("search_text", "sort_id", "sort_accession")
"""What `studies` are searched and sorted by, and what no record has."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

studies = Table(
    "studies",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("patient_id", ForeignText, nullable=False),
    Column("patient_name", ForeignText, nullable=False),
    Column("accession_number", ForeignText, nullable=False),
    Column("study_description", ForeignText, nullable=False),
    Column("first_received_at", UtcDateTime, nullable=False),
    Column("last_received_at", UtcDateTime, nullable=False),
    Column("state_since", UtcDateTime, nullable=False),
    Column("instance_count", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcDateTime),
    Column("reason", ForeignText),
    Column("error", ForeignText),
    Column("summary_json", ForeignText),
    Column("traceparent", String(55), nullable=False, server_default=""),
    *(Column(name, ForeignText, nullable=False, server_default="") for name in SEARCH_COLUMNS),
    UniqueConstraint("study_instance_uid", "revision"),
    one_of("state", StudyState, "state_known"),
    CheckConstraint("revision >= 1", name="revision_counts_from_1"),
    CheckConstraint("(state = 'ANALYSING') = (lease_owner IS NOT NULL)", name="analysing_is_leased"),
    CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease_ends"),
    CheckConstraint("(state = 'REJECTED') = (reason IS NOT NULL)", name="rejected_has_reason"),
    Index(None, "state", "priority", "first_received_at"),
    Index(None, "state", "last_received_at", "search_text"),
    Index(None, "state", "state_since"),
    Index(None, "last_received_at", "state", "search_text"),
    Index(None, "search_text", "state", "last_received_at"),
    Index(None, "sort_id", "state", "last_received_at", "search_text"),
    Index(None, "sort_accession", "state", "last_received_at", "search_text"),
    Index(None, "patient_id"),
    _only("lease_owner", "lease_owner IS NOT NULL"),
)
"""One row a study revision. `SEARCH_COLUMNS`: of `domain.listing.searched`.

Each order of the list has an index that holds all that the list is filtered by: a search reads no row that it does not
show.
"""

instances = Table(
    "instances",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_id", ForeignKey("studies.id")),
    Column("own_result", Boolean, nullable=False),
    Column("sop_class_uid", ForeignText, nullable=False),
    Column("sop_instance_uid", ForeignText, nullable=False),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("series_instance_uid", ForeignText, nullable=False),
    Column("transfer_syntax_uid", ForeignText, nullable=False),
    Column("modality", ForeignText, nullable=False),
    Column("patient_id", ForeignText, nullable=False),
    Column("patient_name", ForeignText, nullable=False),
    Column("accession_number", ForeignText, nullable=False),
    Column("study_description", ForeignText, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("issued_by_product", Boolean, nullable=False),
    Column("spool_key", Text, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("calling_ae_title", ForeignText, nullable=False),
    Column("called_ae_title", ForeignText, nullable=False),
    Column("peer_address", ForeignText, nullable=False),
    Column("image_reason", ForeignText),
    UniqueConstraint("sop_instance_uid", "sha256"),
    CheckConstraint("own_result = (study_id IS NULL)", name="own_results_join_no_revision"),
    Index(None, "study_id"),
    Index(None, "study_instance_uid"),
    _only("received_at", "study_id IS NULL"),
)
"""One row for each different file that was received. `study_id` is the revision that it opened or joined.

Own results that came back have no file, and one row whatever their bytes. `own_result`: it is not an image, but a
result, or an object that a reader made (`returned_objects`).
"""

returned_objects = Table(
    "returned_objects",
    metadata,
    Column("instance_id", ForeignKey("instances.id"), primary_key=True),
    Column("read_at", UtcDateTime),
    _only("read_at", "read_at IS NULL"),
)
"""One row for each of `instances` that a reader made. `read_at`: when its verdicts were taken; NULL: it waits."""

recalls = Table(
    "recalls",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("words", ForeignText, nullable=False),
    Column("asked_by", ForeignText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    one_of("scope", RecallScope, "scope_known"),
    one_of("reason", RecallReason, "reason_known"),
    Index(None, "scope", "subject"),
)
"""One row for each recall: what, why, by whom and when. It outlasts the studies that it was about."""

_IS_BUILT: Final = f"kind <> '{ForwardedKind.IMAGE.value}'"

results = Table(
    "results",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("variant", Text, nullable=False),
    Column("sop_class_uid", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("spool_key", Text, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("built_at", UtcDateTime, nullable=False),
    Column("recall_id", ForeignKey("recalls.id")),
    one_of("kind", ResultKind, "kind_known", NoteKind, ForwardedKind),
    UniqueConstraint("sop_instance_uid", "sha256"),
    Index(None, "study_id"),
    Index(None, "recall_id"),
    Index(
        "ix_results_built_once",
        "sop_instance_uid",
        unique=True,
        sqlite_where=text(_IS_BUILT),
        postgresql_where=text(_IS_BUILT),
    ),
)
"""One row for each object that was built, or is handed on as it came (kind `image`: also a row of `instances`).

`recall_id`: what withdrew it; of a rejection note, what it tells of. The UID of what was built stands for the same
bytes for ever; an image may have been corrected under its own.
"""

is_built = literal_column(f"results.{_IS_BUILT}", Boolean)
"""Of `results`: this node made it."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("result_id", ForeignKey("results.id"), nullable=False),
    Column("destination", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_since", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime),
    Column("lease_owner", Text),
    Column("lease_expires_at", UtcDateTime),
    Column("last_error", ForeignText),
    Column("delivered_at", UtcDateTime),
    Column("transaction_uid", Text),
    Column("was_sent", Boolean, nullable=False, default=False),
    Column("at_time_out", String(16)),
    UniqueConstraint("result_id", "destination"),
    one_of("state", DeliveryState, "state_known"),
    CheckConstraint("(state = 'SENDING') = (lease_owner IS NOT NULL)", name="sending_is_leased"),
    CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease_ends"),
    CheckConstraint(
        "(state = 'DELIVERED') = (delivered_at IS NOT NULL) OR state = 'RECALLED'", name="delivered_has_time"
    ),
    one_of("at_time_out", AtTimeOut, "at_time_out_known"),
    CheckConstraint("(state = 'HELD') = (at_time_out IS NOT NULL)", name="held_has_its_end"),
    CheckConstraint("(state = 'SENT') = (transaction_uid IS NOT NULL)", name="sent_awaits_commitment"),
    Index(None, "study_id"),
    Index(None, "destination", "state", "not_before"),
    Index(None, "transaction_uid"),
    Index(None, "state", "not_before"),
    _only("lease_owner", "lease_owner IS NOT NULL"),
)
"""One row for each result and destination. `was_sent`: a sending was begun, so that the destination may have it.

`at_time_out`: of a held one, what becomes of it at `not_before`.
"""

events = Table(
    "events",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("event", String(32), nullable=False),
    Column("state_before", String(16)),
    Column("state_after", String(16), nullable=False),
    Column("detail", ForeignText, nullable=False),
    one_of("event", StudyEvent, "event_known"),
    Index(None, "study_id"),
)
"""One row for each change of a study revision."""

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("sop_instance_uid", ForeignText, nullable=False),
    Column("finding", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("boxes_json", Text, nullable=False),
    Column("was_found", Boolean, nullable=False),
    Column("weights_digest", Text, nullable=False),
    Column("given_by", ForeignText, nullable=False),
    Column("source", String(32), nullable=False),
    Column("source_uid", ForeignText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    one_of("kind", VerdictKind, "kind_known"),
    one_of("source", VerdictSource, "source_known"),
    Index(None, "study_instance_uid"),
    Index(None, "sop_instance_uid", "finding"),
)
"""One row for each word of a person on a finding of an image; rows are added, never changed. See `domain.verdicts`.

`boxes_json`: [[x, y, w, h], ...] in source pixels. They leave with their study.
"""

final_reports = Table(
    "final_reports",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("report_id", ForeignText, nullable=False),
    Column("status", String(16), nullable=False),
    Column("issued_at", UtcDateTime),
    Column("weights_digest", Text, nullable=False),
    Column("answers_json", Text, nullable=False),
    Column("read_at", UtcDateTime, nullable=False),
    one_of("status", ReportStatus, "status_known"),
    UniqueConstraint("study_instance_uid", "digest"),
)
"""One row for each version of a report on a study; rows are added, never changed. See `domain.final_reports`.

`answers_json`: {finding: [the report's answer, whether the node had found it], ...}; the report's words are not kept.
They leave with their study.
"""

tallies = Table(
    "tallies",
    metadata,
    Column("counted", String(16), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""One row for each table that is counted and each state of its rows. See `tallies.py`."""

works_with = Table("works_with", metadata, Column("revision", String(32), primary_key=True))
"""One row: the oldest revision whose programs work on these tables. A program of an earlier version reads it."""

clocks = Table(
    "clocks",
    metadata,
    Column("host", Text, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
)
"""One row for each start of a host: the moment at which its clock that never jumps stood at 0. See `adapters.clock`."""

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("working_since", UtcDateTime),
    Column("trouble", ForeignText, nullable=False),
    Column("role", String(16), nullable=False),
    one_of("role", WorkerRole, "role_known"),
)
"""One row for each worker process that lives, or ended without taking leave."""

leftovers = Table("leftovers", metadata, Column("spool_key", Text, primary_key=True))
"""Files in the spool whose study has left the ledger, until they are deleted."""

owed_reports = Table(
    "owed_reports",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("ae_title", ForeignText, nullable=False),
    Column("address", ForeignText, nullable=False),
    Column("transaction_uid", Text, nullable=False),
    Column("objects_json", Text, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("last_error", ForeignText),
    UniqueConstraint("ae_title", "address", "transaction_uid"),
    Index(None, "not_before"),
)
"""One row for each storage commitment report that is owed to a peer, until it was told or given up.

`objects_json`: what the peer asked for, [[SOP Class UID, SOP Instance UID], ...].
"""

purged_revisions = Table(
    "purged_revisions",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("patient_id", ForeignText, nullable=False),
    Column("patient_name", ForeignText, nullable=False),
    Column("accession_number", ForeignText, nullable=False),
    Column("study_description", ForeignText, nullable=False),
    Column("weights_digest", Text, nullable=False),
    Column("images_json", ForeignText, nullable=False),
    Column("results_json", Text, nullable=False),
    Column("purged_at", UtcDateTime, nullable=False),
    Index(None, "study_instance_uid"),
    Index(None, "weights_digest"),
    Index(None, "purged_at"),
)
"""One row for each purged revision of which a destination may have results: what a recall needs to withdraw them.

`images_json`: SOP Instance UIDs of the study's images. `results_json`: of each result what `results` had, and its
destinations; none where all were withdrawn.
"""

owed_notes = Table(
    "owed_notes",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("recall_id", ForeignKey("recalls.id"), nullable=False),
    Column("study_id", ForeignKey("studies.id"), nullable=False),
    Column("carrier_id", ForeignKey("studies.id"), nullable=False),
    Column("destination", Text, nullable=False),
    UniqueConstraint("recall_id", "study_id", "destination"),
    Index(None, "carrier_id"),
)
"""One row for each rejection note that has yet to be built.

`study_id`: the revision whose results it withdraws; `carrier_id`: the one among whose deliveries it goes.
"""

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("opened_at", UtcDateTime),
    one_of("role", Role, "role_known"),
)
"""One row for each local account that may, or might once, log in to the pages."""

sessions = Table(
    "sessions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("account", ForeignKey("accounts.name")),
    Column("name", ForeignText),
    Column("role", String(16)),
    Column("issuer", Text),
    Column("subject", ForeignText),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime),
    Column("asked_at", UtcDateTime),
    Column("secrets", LargeBinary),
    Column("emergency_reason", ForeignText),
    Column("emergency_until", UtcDateTime),
    one_of("role", Role, "role_known"),
    CheckConstraint("(account IS NULL) = (issuer IS NOT NULL)", name="account_or_issuer"),
    Index(None, "account"),
)
"""One row for each login that has not ended. `key`: SHA-256 of the token that the browser holds.

Of a local account (`account`), or of a person for whom an OpenID provider vouches (`name` to `subject`, `checked_at` to
`secrets`). `secrets` can be read with that token alone.
"""

audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_json", ForeignText, nullable=False),
)
"""One row for each audited event that a lane has not carried yet. `sequence` has no gap: the writer counts it on."""

audit_lanes = Table(
    "audit_lanes",
    metadata,
    Column("lane", String(16), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("owner", Text),
    Column("expires_at", UtcDateTime),
    Column("trouble", ForeignText),
    one_of("lane", AuditLane, "lane_known"),
)
"""One row for each lane of the audit trail: what it has carried, up to `position`. `digest`: of a file's last line.

`trouble`: why it carries nothing now."""
