"""DICOM files to `Radiograph`: header and limits first, then one frame, then the display pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from patchclip_core.errors import PatchClipError, UnreadableImageError, UnsuitableImageError
from patchclip_core.io.display import DisplayPipeline, Stored, display
from patchclip_core.io.elements import items, named, number, numbers, read_elements, shown, text
from patchclip_core.io.encoded import readable_with_pixels
from patchclip_core.io.frames import FrameLayout, decode_frame, sample_values
from patchclip_core.io.limits import DecodeLimits
from patchclip_core.io.part10 import START_BYTES, has_prefix
from patchclip_core.io.polarity import looks_inverted
from patchclip_core.io.quality import quality_remarks
from patchclip_core.io.selection import KEYWORDS as SELECTION_KEYWORDS
from patchclip_core.io.selection import patient_orientation
from patchclip_core.io.spacing import positive_pair
from patchclip_core.values.display import LookupTable, Rescale, VoiFunction, Window
from patchclip_core.values.results import FloatArray, Radiograph

_OVERLAY_BIT_POSITION = 0x0102
_ASPECT_RATIO_RANGE = (0.2, 5.0)
_PIXEL_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_TOLD_ELEMENTS = 4
_SMALLEST, _LARGEST = 1e-6, 1e9
"""What slopes and windows are between, far beyond what any device writes: arithmetic in float32 stays finite."""
_FLOAT_STEPS = 2**24
"""Whole steps of a slope that float32 tells apart; a larger intercept would make all values of an image one."""

DISPLAY_KEYWORDS: Final = (
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "PixelAspectRatio", *_PIXEL_SPACINGS),
)
"""The elements that say how pixels are stored and displayed."""


def read_dicom(path: Path, limits: DecodeLimits, *, as_stated: bool = False) -> Radiograph:
    """Read, decode and display a DICOM image.

    Raises `UnreadableImageError` and `UnsuitableImageError`. Limits are checked before any pixel is decoded.
    """
    with _translated("the DICOM header is damaged"):
        _refuse_deflated(path)
        header, left_out = read_elements(path, (*DISPLAY_KEYWORDS, *SELECTION_KEYWORDS))
        layout = _frame_layout(header)
        limits.check_size(layout.rows, layout.columns)
    with _translated("the pixel data cannot be decoded"):
        dataset = pydicom.dcmread(readable_with_pixels(path), force=True)
        element = dataset.get_item("PixelData")
        if element is None:
            raise UnreadableImageError("the file ends before its pixel data, or has none")
        layout = replace(layout, overlay_bits=_overlays_share_samples(dataset))
        frame = decode_frame(element.value or b"", _transfer_syntax(dataset), layout)
        stored, layout = frame.values, frame.layout
    with _translated("the attributes that say how to display the image are damaged"):
        remarks = [*_remarks_on_left_out(left_out), *frame.remarks]
        pipeline = replace(_display_pipeline(header, layout, remarks), as_stated=as_stated)
        displayed = display(stored, pipeline)
        remarks.extend(displayed.remarks)
        aspect_ratio = _pixel_aspect_ratio(header, remarks)
    if not as_stated and looks_inverted(_upright(displayed.pixels, header)):
        displayed = display(stored, replace(pipeline, inverted=not pipeline.inverted))
        tag = "MONOCHROME1" if pipeline.inverted else "MONOCHROME2"
        remarks.append(
            f"Black and white looked exchanged for a chest radiograph, since the file says {tag}. "
            "It was analysed and drawn the other way round."
        )
    remarks.extend(quality_remarks(displayed.pixels, stored))
    return Radiograph(displayed.pixels, aspect_ratio, tuple(remarks), displayed.display)


def _remarks_on_left_out(left_out: Sequence[str]) -> Iterator[str]:
    """Name the damaged elements that would have had a say in what the image is and how it looks."""
    if left_out:
        more = f" and {len(left_out) - _TOLD_ELEMENTS} more" if len(left_out) > _TOLD_ELEMENTS else ""
        told = ", ".join(map(named, left_out[:_TOLD_ELEMENTS]))
        yield f"Damaged elements of the header were left out: {told}{more}."


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn whatever the reading libraries raise into `UnreadableImageError`, and keep their warnings quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PatchClipError:
            raise
        except MemoryError as error:
            raise UnreadableImageError(f"{what}: it asks for more memory than is allowed") from error
        except Exception as error:
            raise UnreadableImageError(f"{what} ({type(error).__name__}: {error})") from error


def _refuse_deflated(path: Path) -> None:
    """A deflated data set has to be inflated before its header is known, so no limit could hold."""
    with path.open("rb") as file:
        if not has_prefix(file.read(START_BYTES)):
            return
    if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise UnreadableImageError("Deflated Explicit VR Little Endian is not supported; store the file uncompressed")


def _transfer_syntax(dataset: Dataset) -> UID:
    named = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if named:
        return UID(named)
    implicit, little_endian = dataset.original_encoding
    if not little_endian:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _frame_layout(header: Dataset) -> FrameLayout:
    """Read the Image Pixel module (PS3.3 C.7.6.3)."""
    samples = number(header, "SamplesPerPixel")
    photometric = shown(header, "PhotometricInterpretation").upper()
    if samples not in {None, 1} or (photometric and not photometric.startswith("MONOCHROME")):
        said = "1" if samples is None else f"{samples:g}"
        raise UnsuitableImageError(
            f"the image is in colour ({photometric or 'of unknown kind'}, {said} samples per pixel); only "
            "greyscale radiographs are analysed"
        )
    if photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise UnreadableImageError(
            f"Photometric Interpretation (0028,0004) is {photometric or 'missing'}: it is unknown what is black"
        )
    frames = number(header, "NumberOfFrames") or 1
    if frames != 1:
        raise UnsuitableImageError(f"the image has {frames:g} frames; only single radiographs are analysed")
    rows, columns, allocated, stored = (
        _required_number(header, name) for name in ("Rows", "Columns", "BitsAllocated", "BitsStored")
    )
    high_bit = number(header, "HighBit")
    layout = FrameLayout(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=int(high_bit) if high_bit is not None else stored - 1,
        signed=number(header, "PixelRepresentation") == 1,
    )
    layout.check()
    return layout


def _overlays_share_samples(dataset: Dataset) -> bool:
    """Tell whether an overlay lies in unused bits of the samples: its Bit Position is then not 0 (PS3.3 C.9.2)."""
    tags = (tag for tag in dataset.keys() if tag.group & 0xFF00 == 0x6000)  # noqa: SIM118 - it iterates over elements
    positions = (dataset.get_item(tag) for tag in tags if tag.element == _OVERLAY_BIT_POSITION)
    return any(
        any(position.value) for position in positions if position is not None and isinstance(position.value, bytes)
    )


def _required_number(header: Dataset, keyword: str) -> int:
    value = number(header, keyword)
    if value is None:
        raise UnreadableImageError(f"this is not a DICOM image, or it is damaged: {keyword} is missing")
    return int(value)


def _display_pipeline(dataset: Dataset, layout: FrameLayout, remarks: list[str]) -> DisplayPipeline:
    modality = _modality(dataset, layout, remarks)
    return DisplayPipeline(
        modality=modality,
        vois=tuple(_vois(dataset, layout, modality, remarks)),
        inverted=shown(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1",
        padding=_padding(dataset, layout),
        # Without a VOI transform 8-bit values are what a screen shows, as in Secondary Captures and in PNG files.
        full_range=layout.value_range if layout.bits_stored <= 8 and modality == Rescale() else None,
    )


def _modality(dataset: Dataset, layout: FrameLayout, remarks: list[str]) -> LookupTable | Rescale:
    """Modality LUT Sequence, or Rescale Slope and Intercept (PS3.3 C.11.1)."""
    if table := _lookup_table(dataset, "ModalityLUTSequence", layout.signed, remarks):
        return table
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope == 0:
        remarks.append("Rescale Slope is 0 and was taken as 1.")
        slope = None
    rescale = Rescale(1.0 if slope is None else slope, 0.0 if intercept is None else intercept)
    size = abs(rescale.slope)
    if _SMALLEST <= size <= _LARGEST and abs(rescale.intercept) <= _FLOAT_STEPS * size:
        return rescale
    remarks.append(
        f"Rescale Slope {rescale.slope:g} and Rescale Intercept {rescale.intercept:g} are out of range: not used."
    )
    return Rescale()


def _vois(
    dataset: Dataset, layout: FrameLayout, modality: LookupTable | Rescale, remarks: list[str]
) -> Iterator[LookupTable | Window]:
    """Yield the VOI LUT, then the windows (PS3.3 C.11.2: alternatives, of which the table says more)."""
    lowest = 0.0 if isinstance(modality, LookupTable) else modality.intercept
    if table := _lookup_table(dataset, "VOILUTSequence", layout.signed or lowest < 0, remarks):
        yield table
    centres, widths = _finite(dataset, "WindowCenter"), _finite(dataset, "WindowWidth")
    name = shown(dataset, "VOILUTFunction").upper() or VoiFunction.LINEAR
    if centres and widths and name not in set(VoiFunction):
        remarks.append(f"VOI LUT Function {name} is unknown and was taken as LINEAR.")
        name = VoiFunction.LINEAR
    for centre, width in zip(centres, widths, strict=False):
        if width <= 0:
            remarks.append(f"Window Width is {width:g}, which is not a window.")
        elif not (_SMALLEST <= width <= _LARGEST and abs(centre) <= _LARGEST):
            remarks.append(f"Window Center {centre:g} and Window Width {width:g} are out of range: not used.")
        elif width < 1 and name == VoiFunction.LINEAR:
            yield Window(centre, width, VoiFunction.LINEAR_EXACT)  # LINEAR is not defined below 1 (C.11.2.1.2.1)
        else:
            yield Window(centre, width, VoiFunction(name))


def _lookup_table(dataset: Dataset, keyword: str, signed_input: bool, remarks: list[str]) -> LookupTable | None:
    """Read the first item of a LUT sequence (PS3.3 C.11.1.1); descriptor: entries, first input, bits an entry."""
    sequence = items(dataset, keyword)
    if not sequence:
        return None
    name = "Modality LUT" if keyword == "ModalityLUTSequence" else "VOI LUT"
    item = sequence[0]
    descriptor, data = numbers(item, "LUTDescriptor"), item.get("LUTData")
    if len(descriptor) != 3 or data is None:
        remarks.append(f"The {name} is incomplete and was not used.")
        return None
    count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    # The descriptor's VR is US or SS by the input's sign, yet many writers leave a negative number in US.
    if signed_input and first > 0x7FFF:
        first -= 2**16
    entries: NDArray[np.uint16]
    if isinstance(data, bytes):
        entries = np.frombuffer(data, dtype="<u2" if len(data) >= 2 * count else "u1").astype(np.uint16)
    else:
        entries = np.atleast_1d(np.asarray(data)).astype(np.int64).astype(np.uint16)
        if bits <= 8 and len(entries) * 2 == count:
            # PS3.3 C.11.1.1.1: entries of 8 bits may be packed by two into words.
            entries = entries.view(np.uint8).astype(np.uint16)
    if len(entries) < count:
        remarks.append(f"The {name} is cut off and was not used.")
        return None
    entries = entries[:count]
    needed = int(entries.max()).bit_length()
    if not 1 <= bits <= 16 or needed > bits:
        remarks.append(f"The {name} says {bits} bits, its entries have {needed}: it was taken as one of {needed} bits.")
        bits = max(1, needed)
    return LookupTable(first, entries, bits)


def _padding(dataset: Dataset, layout: FrameLayout) -> tuple[int, int] | None:
    """Pixel Padding Value and, where given, Range Limit (PS3.3 C.7.5.1.1.2), as stored values in ascending order."""
    value, limit = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    bounds = sample_values(np.array([value, value if limit is None else limit]).astype(np.int64), layout)
    return int(bounds.min()), int(bounds.max())


def _pixel_aspect_ratio(dataset: Dataset, remarks: list[str]) -> float:
    """Height over width of a pixel: from the first usable spacing, else Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7).

    A spacing of 0 counts as absent, since devices write it for unknown; another that is none has a remark.
    """
    for keyword in (*_PIXEL_SPACINGS, "PixelAspectRatio"):
        pair = positive_pair(text(dataset, keyword))
        if pair is None:
            said = shown(dataset, keyword)
            if said.strip("\\") and numbers(dataset, keyword) != (0.0, 0.0):
                remarks.append(
                    f"{dictionary_description(keyword)} says {said!r}, which is not a size. It was not used."
                )
            continue
        vertical, horizontal = pair
        low, high = _ASPECT_RATIO_RANGE
        if low <= vertical / horizontal <= high:
            return vertical / horizontal
        remarks.append(f"{keyword} says that pixels are {vertical:g} high and {horizontal:g} wide; taken as square.")
    return 1.0


def _upright(pixels: FloatArray, dataset: Dataset) -> FloatArray:
    """Return an image with the head at its top, where Patient Orientation (PS3.3 C.7.6.1.1.1) says where that is.

    Left and right may be exchanged in it.
    """
    orientation = patient_orientation(dataset)
    if orientation is None:
        return pixels
    along_rows, along_columns = (direction[0] for direction in orientation)
    if along_rows in {"H", "F"}:
        pixels, along_columns = pixels.T, along_rows
    return pixels[::-1] if along_columns == "H" else pixels


def _finite(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return the values of an attribute; where not all are numbers the first alone, if it is one."""
    first = number(dataset, keyword)
    return numbers(dataset, keyword) or (() if first is None else (first,))


__all__ = ["Stored", "read_dicom"]
