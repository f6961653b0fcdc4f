"""An archive that is queried by QIDO-RS and has its studies fetched by WADO-RS (PS3.18 10.6, 10.4)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx2
from pydicom import Dataset

from patchclip_core.io.vocabulary import Vocabulary
from patchclip_node.adapters.dicomweb.parts import AnswerError, Keeper, kept_parts
from patchclip_node.dicom.archived import archived_series, archived_study, series_query, shown_query, studies_query
from patchclip_node.domain.backfill import ArchivedSeries, ArchivedStudy, StudyNotPulledError, Window
from patchclip_node.domain.errors import ConfigurationError, PeerError

_MOST_ANSWER_BYTES: Final = 64 * 1024**2
"""Of an answer to a query: some 50,000 studies."""
_PIECE_BYTES: Final = 1024 * 1024
_NOT_ALLOWED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_MORE_RESULTS: Final = "299"
"""The code of the Warning header of an answer that leaves results out (PS3.18 8.3.4.4)."""


@dataclass(frozen=True, slots=True)
class WebPlace:
    """Where an archive answers.

    url: what stands before /studies. secret: a password with `user`, without it a bearer token; read for each request.
    """

    url: str
    trust: ssl.SSLContext
    user: str = ""
    secret: Callable[[], str] | None = None
    timeout_s: float = 60.0


class DicomWebArchive:
    """The port `Archive`, over the web. Whoever has it closes it."""

    def __init__(
        self,
        place: WebPlace,
        keeper: Keeper,
        vocabulary: Vocabulary | None = None,
        tell: Callable[[str], None] = lambda _query: None,
    ) -> None:
        """keeper: what is fetched goes there. tell: takes what each query asks for, for the audit trail."""
        self._place = place
        self._keeper = keeper
        self._vocabulary = vocabulary
        self._tell = tell
        self._client = httpx2.Client(
            verify=place.trust, timeout=place.timeout_s, follow_redirects=False, trust_env=False
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def studies(self, window: Window, modality: str) -> tuple[list[ArchivedStudy], bool]:
        """See the port."""
        try:
            answers, is_whole = self._query("studies", studies_query(window, modality), f"studies of {window}")
        except _NotThereError as error:
            raise ConfigurationError(f"backfill.web.url: {error}") from error
        read = [archived_study(one) for one in answers]
        return [one for one in read if one.study_instance_uid], is_whole

    def series(self, study_instance_uid: str) -> list[ArchivedSeries]:
        """See the port."""
        query = series_query(study_instance_uid)
        try:
            answers, is_whole = self._query(f"studies/{study_instance_uid}/series", query, "the series")
        except _NotThereError:
            return []
        except _OddAnswerError as error:  # of this study, perhaps: the others go on
            raise StudyNotPulledError(str(error), again=True) from error
        if not is_whole:
            raise StudyNotPulledError(f"{self._place.url} does not tell all series of the study", again=False)
        read = [archived_series(one, self._vocabulary) for one in answers]
        return [one for one in read if one.series_instance_uid]

    def pull(self, study_instance_uid: str, series_instance_uids: Sequence[str]) -> str:
        """See the port."""
        missing: list[str] = []
        for uid in series_instance_uids or ("",):
            path = f"studies/{study_instance_uid}" + (f"/series/{uid}" if uid else "")
            missing += self._fetch(path)
        return "; ".join(missing)

    def _query(self, path: str, query: Dataset, what: str) -> tuple[list[Dataset], bool]:
        """Return the answers, and whether they are all."""
        self._tell(shown_query(query))
        with self._asked(path, "application/dicom+json", _parameters(query)) as answer:
            if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                return [], False
            if answer.status_code == HTTPStatus.NO_CONTENT:
                return [], True
            if answer.status_code != HTTPStatus.OK:
                raise _OddAnswerError(f"{self._place.url} answered {answer.status_code} when it was asked for {what}")
            content = bytearray()
            for piece in answer.iter_bytes(_PIECE_BYTES):
                content += piece
                if len(content) > _MOST_ANSWER_BYTES:
                    return [], False
            is_whole = _MORE_RESULTS not in answer.headers.get("Warning", "").split()
        return self._datasets(bytes(content), what), is_whole

    def _datasets(self, content: bytes, what: str) -> list[Dataset]:
        try:
            return [Dataset.from_json(one) for one in httpx2.Response(200, content=content).json()]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _OddAnswerError(f"{self._place.url} does not answer in DICOM JSON: {what}") from error

    def _fetch(self, path: str) -> list[str]:
        """Return why instances of an answer were not kept; nothing where all were."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        try:
            with self._asked(path, accept) as answer:
                if answer.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    self._raise_unless_it_passes(answer.status_code)
                    raise StudyNotPulledError(f"{self._place.url} answered {answer.status_code}", again=True)
                pieces = answer.iter_bytes(_PIECE_BYTES)
                kept, refused = kept_parts(answer.headers.get("Content-Type", ""), pieces, self._keeper)
                is_part = answer.status_code == HTTPStatus.PARTIAL_CONTENT
        except _NotThereError as error:
            raise StudyNotPulledError(str(error), again=False) from error
        except AnswerError as error:
            raise StudyNotPulledError(f"{self._place.url}: {error}", again=True) from error
        except _OddAnswerError as error:
            raise StudyNotPulledError(str(error), again=True) from error
        if is_part:
            refused = [*refused, f"{self._place.url} did not send all objects (206), but {kept}"]
        return refused

    def _raise_unless_it_passes(self, status: int) -> None:
        """Raise where asking again does not help: of this study, or of any."""
        if status == HTTPStatus.NOT_ACCEPTABLE:
            raise ConfigurationError(
                f"{self._place.url} does not give DICOM files as it has them (406 to transfer-syntax=*): allow it there"
            )
        if status in {HTTPStatus.GONE, HTTPStatus.BAD_REQUEST}:
            raise StudyNotPulledError(f"{self._place.url} answered {status}", again=False)

    @contextmanager
    def _asked(self, path: str, accept: str, parameters: Mapping[str, str] | None = None) -> Iterator[httpx2.Response]:
        """Send a GET request.

        Raises `PeerError` where the archive is not in reach, `_OddAnswerError` where it breaks off or falls silent,
        `_NotThereError` and `ConfigurationError`.
        """
        place = self._place
        try:
            with self._client.stream(
                "GET",
                f"{place.url.rstrip('/')}/{path}",
                params=parameters,
                headers={"Accept": accept, **self._bearer()},
                auth=self._basic(),
            ) as answer:
                if answer.status_code in _NOT_ALLOWED:
                    raise ConfigurationError(
                        f"{place.url} does not let this node read ({answer.status_code}): backfill.web.user and "
                        "backfill.web.secret_file say who it is"
                    )
                if answer.is_redirect:
                    raise ConfigurationError(
                        f"backfill.web.url: {place.url} redirects elsewhere: name the place itself"
                    )
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise _NotThereError(f"{place.url} answered 404: there is no {path} below it")
                yield answer
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise PeerError(f"{place.url} cannot be reached: {error}") from error
        except httpx2.TimeoutException as error:
            raise _OddAnswerError(f"{place.url} gives no answer within {place.timeout_s:g} s") from error
        except httpx2.HTTPError as error:
            raise _OddAnswerError(f"{place.url} broke off: {error}") from error

    def _basic(self) -> Any:
        if not self._place.user or self._place.secret is None:
            return None
        return httpx2.BasicAuth(self._place.user, self._place.secret())

    def _bearer(self) -> dict[str, str]:
        if self._place.user or self._place.secret is None:
            return {}
        return {"Authorization": f"Bearer {self._place.secret()}"}


class _OddAnswerError(PeerError):
    """The archive is in reach, and its answer is of no use."""


class _NotThereError(PeerError):
    """404: where studies are listed the address is wrong, else the study is not there."""


def _parameters(query: Dataset) -> dict[str, str]:
    """Return a query's keys as parameters of a URL: those with values match, the others are to be told."""
    wanted = [one for one in query if one.keyword not in {"QueryRetrieveLevel", "StudyInstanceUID"} or one.value]
    matched = {one.keyword: str(one.value) for one in wanted if one.value and one.keyword != "QueryRetrieveLevel"}
    told = [one.keyword for one in wanted if not one.value]
    return matched | {"includefield": ",".join(told)}
