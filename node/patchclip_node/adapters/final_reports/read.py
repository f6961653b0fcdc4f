"""A file of reports is read by what it holds, whatever its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from patchclip_node.adapters.final_reports.fhir import fhir_reports
from patchclip_node.adapters.final_reports.hl7 import hl7_reports
from patchclip_node.adapters.final_reports.table import table_reports
from patchclip_node.domain.final_reports import FinalReport, NotRead

LARGEST_BYTES: Final = 256 * 2**20
_HL7: Final = re.compile(rb"[\x0b\s]*(?:\xef\xbb\xbf)?(?:MSH|FHS|BHS)[^\w\s]")
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]")


def read_reports(path: Path) -> Iterator[FinalReport | NotRead]:
    """Yield the reports of a file: HL7 version 2 messages, FHIR resources as JSON, or a table as CSV.

    Raises `OSError`.
    """
    if path.stat().st_size > LARGEST_BYTES:
        yield NotRead(str(path), f"larger than {LARGEST_BYTES // 2**20} MiB; split it")
        return
    content = path.read_bytes()
    if not content.strip():
        yield NotRead(str(path), "the file is empty")
    elif _HL7.match(content):
        yield from hl7_reports(content, str(path))
    elif _JSON.match(content):
        yield from fhir_reports(content, str(path))
    else:
        yield from table_reports(content, str(path))
