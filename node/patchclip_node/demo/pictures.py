"""The pictures of the report: each source as the model saw it, and its overlay."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from patchclip_core.drawing import as_png
from patchclip_core.errors import PatchClipError
from patchclip_core.io import DecodeLimits, DecodingProcess
from patchclip_node.demo.outcome import StudyOutcome
from patchclip_node.dicom.headers import read_header
from patchclip_node.ports.ledger import Studies
from patchclip_node.ports.spool import Spool
from patchclip_node.services.analyse import ResultIssuer
from patchclip_node.services.pictures import Painter

_SHOWN_PX: Final = 900
"""Height of a picture in the report; the PNG beside it is larger."""


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """One analysed image. `source`, `overlay`: data URIs; `overlay_file`: name of the PNG in the output folder.

    The ratios are width divided by height.
    """

    sop_instance_uid: str
    source: str
    source_ratio: float
    overlay: str
    overlay_ratio: float
    overlay_file: str


def write_pictures(
    outcomes: Sequence[StudyOutcome], studies: Studies, spool: Spool, issuer: ResultIssuer, out: Path
) -> dict[str, ReportPicture]:
    """Write a PNG for each analysed image into `out`; SOP Instance UID -> picture.

    The overlays are drawn as the node's pages draw them. studies, issuer: the node's.
    """
    pictures = {}
    with DecodingProcess(DecodeLimits()) as decoder:
        painter = Painter(studies, spool, decoder, issuer)
        for number, outcome in enumerate(outcomes, 1):
            sources = {read_header(path).sop_instance_uid: path for path in outcome.sent.files}
            for order, image in enumerate(outcome.summary.images if outcome.summary else ()):
                if outcome.record is None or image.sop_instance_uid not in sources:
                    continue
                name = f"study-{number:02d}{f'-{order + 1}' if order else ''}.png"
                overlay = painter.drawn(outcome.record, image, datetime.now(UTC))
                (out / name).write_bytes(as_png(overlay))
                with suppress(PatchClipError):
                    radiograph = decoder.read(sources[image.sop_instance_uid])
                    height = round(radiograph.rows * radiograph.pixel_aspect_ratio)
                    grey = Image.fromarray(np.rint(radiograph.pixels * 255).astype(np.uint8))
                    source = grey.resize((radiograph.columns, height))
                    pictures[image.sop_instance_uid] = ReportPicture(
                        image.sop_instance_uid,
                        _data_uri(source),
                        source.width / source.height,
                        _data_uri(overlay),
                        overlay.width / overlay.height,
                        name,
                    )
    return pictures


def stale_pictures(out: Path) -> Iterator[Path]:
    """Yield the PNGs that an earlier demo left in `out`."""
    yield from out.glob("study-[0-9][0-9]*.png")


def _data_uri(picture: Image.Image) -> str:
    shown = picture.copy()
    shown.thumbnail((2 * _SHOWN_PX, _SHOWN_PX), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    shown.save(content, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
