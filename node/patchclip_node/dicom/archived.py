"""What an archive answers to queries for studies and series (PS3.4 C.6.2.1), read as tolerantly as headers are."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

from patchclip_core.io.elements import number, text
from patchclip_core.io.selection import heard_parts
from patchclip_core.io.vocabulary import Vocabulary, load_vocabulary
from patchclip_node.domain.backfill import ArchivedSeries, ArchivedStudy, Window

_OF_A_STUDY: Final = ("StudyInstanceUID", "StudyDate", "StudyTime", "ModalitiesInStudy")
_OF_A_SERIES: Final = (
    "SeriesInstanceUID",
    "Modality",
    "BodyPartExamined",
    "ProtocolName",
    "SeriesDescription",
    "NumberOfSeriesRelatedInstances",
)


def studies_query(window: Window, modality: str) -> Dataset:
    """Return the identifier of a query for the studies of a window."""
    query = _query("STUDY", _OF_A_STUDY)
    days = (f"{window.first:%Y%m%d}", f"{window.last:%Y%m%d}")
    query.StudyDate = days[0] if days[0] == days[1] else "-".join(days)
    if window.between is not None:
        query.StudyTime = "-".join(window.times)
    query.ModalitiesInStudy = modality
    return query


def series_query(study_instance_uid: str) -> Dataset:
    """Return the identifier of a query for the series of a study."""
    query = _query("SERIES", _OF_A_SERIES)
    query.StudyInstanceUID = study_instance_uid
    return query


def retrieval(study_instance_uid: str, series_instance_uid: str = "") -> Dataset:
    """Return the identifier of a retrieval of a study, or of one series of it."""
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "SERIES" if series_instance_uid else "STUDY"
    wanted.StudyInstanceUID = study_instance_uid
    if series_instance_uid:
        wanted.SeriesInstanceUID = series_instance_uid
    return wanted


def archived_study(answer: Dataset) -> ArchivedStudy:
    """Read one answer to `studies_query`; '' is the UID of one that has none."""
    modalities = text(answer, "ModalitiesInStudy")
    return ArchivedStudy(
        text(answer, "StudyInstanceUID"),
        text(answer, "StudyDate").replace(".", "")[:8],
        text(answer, "StudyTime").replace(":", "").partition(".")[0],
        tuple(one.strip() for one in modalities.split("\\") if one.strip()),
    )


def archived_series(answer: Dataset, vocabulary: Vocabulary | None = None) -> ArchivedSeries:
    """Read one answer to `series_query`. vocabulary: what its words mean; by default the shipped one."""
    return ArchivedSeries(
        text(answer, "SeriesInstanceUID"),
        text(answer, "Modality").upper(),
        heard_parts(answer, vocabulary or load_vocabulary()),
        max(0, int(number(answer, "NumberOfSeriesRelatedInstances") or 0)),
    )


def shown_query(query: Dataset) -> str:
    """Return what a query asks for, in words for the audit trail."""
    return ", ".join(f"{one.keyword}={one.value}" for one in query if one.value not in {None, ""})


def _query(level: str, keywords: tuple[str, ...]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in keywords:
        setattr(query, keyword, None)
    return query
