"""One encoded frame to stored values: one decoder a family of transfer syntaxes, and no guessing between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import RLELosslessDecoder
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from patchclip_core.errors import UnreadableImageError
from patchclip_core.io.codestream import CodestreamHeader, jpeg_2000_codestream, read_codestream_header
from patchclip_core.io.display import Stored
from patchclip_core.io.syntaxes import JPEG_XL_SYNTAXES

_JPEG_SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
_JPEG_2000_SYNTAXES = (*JPEG2000TransferSyntaxes, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_GDCM_PROCESS_BITS = 12
_MOST_BITS = 32


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Size and sample format of a greyscale frame (PS3.3 C.7.6.3.1, PS3.5 8.1.1).

    overlay_bits: bits above the stored ones hold overlays (PS3.5 8.1.2, retired), and never a part of the sample.
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    overlay_bits: bool = False

    def check(self) -> None:
        """Raise `UnreadableImageError` where the bits contradict each other or cannot be read."""
        if self.bits_allocated not in {8, 16, 32}:
            raise UnreadableImageError(f"Bits Allocated (0028,0100) is {self.bits_allocated}; 8, 16 and 32 can be read")
        if not (1 <= self.bits_stored <= self.high_bit + 1 <= self.bits_allocated):
            raise UnreadableImageError(
                f"Bits Allocated {self.bits_allocated}, Bits Stored {self.bits_stored} and High Bit {self.high_bit} "
                "contradict each other"
            )

    @property
    def frame_bytes(self) -> int:
        """Size of the uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def value_range(self) -> tuple[int, int]:
        """Lowest and highest stored value."""
        if self.signed:
            return -(1 << (self.bits_stored - 1)), (1 << (self.bits_stored - 1)) - 1
        return 0, (1 << self.bits_stored) - 1


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """What a frame holds.

    values: stored values (rows, columns). layout: their true format, which a compressed stream says better than the
    header. remarks: where the two differ so that it matters, in plain language.
    """

    values: Stored
    layout: FrameLayout
    remarks: tuple[str, ...] = ()


def decode_frame(pixel_data: bytes, syntax: UID, layout: FrameLayout) -> DecodedFrame:
    """Decode one frame. Raises `UnreadableImageError`; decoders may raise anything else."""
    if name := JPEG_XL_SYNTAXES.get(str(syntax)):
        raise UnreadableImageError(f"the transfer syntax {name} is not supported; store the file uncompressed")
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise UnreadableImageError(f"the transfer syntax {syntax} is unknown")
    if not syntax.is_compressed:
        return DecodedFrame(sample_values(_native_samples(pixel_data, syntax, layout), layout), layout)
    if syntax == RLELossless:
        return DecodedFrame(sample_values(_rle_samples(pixel_data, layout), layout), layout)
    frame = next(generate_frames(pixel_data, number_of_frames=1))
    if syntax in _JPEG_2000_SYNTAXES:
        frame = jpeg_2000_codestream(frame)
    header = read_codestream_header(frame)
    _check_codestream(header, layout)
    if syntax in JPEGLSTransferSyntaxes:
        import jpeg_ls  # noqa: PLC0415 - as the decoder below

        samples = np.asarray(jpeg_ls.decode(np.frombuffer(frame, dtype=np.uint8)))
    elif syntax in _JPEG_2000_SYNTAXES:
        from openjpeg.utils import decode  # noqa: PLC0415 - of the extra `results`: who receives does without

        samples = np.asarray(decode(BytesIO(frame)))
    elif syntax in _JPEG_SYNTAXES:
        samples = _jpeg_samples(frame, syntax, header, layout)
    else:
        raise UnreadableImageError(f"the transfer syntax {syntax.name} is not supported; store the file uncompressed")
    return stream_values(samples.reshape(layout.rows, layout.columns), header.precision_bits, layout)


def stream_values(samples: NDArray[np.integer], precision_bits: int, layout: FrameLayout) -> DecodedFrame:
    """Take the samples of a compressed stream, which has its own precision, for the stored values they are.

    samples: whole numbers at the stream's precision, right-aligned. Where they fit into Bits Stored the header holds;
    where they do not, the stream does, and a remark says so.
    """
    if precision_bits <= layout.bits_stored:
        format_ = _of_bits(layout, precision_bits)
        return DecodedFrame(sample_values(samples, format_), format_)
    aligned = layout if precision_bits > layout.high_bit else replace(layout, high_bit=layout.bits_stored - 1)
    values = sample_values(samples, aligned)
    whole = _of_bits(layout, precision_bits)
    if layout.overlay_bits or aligned.high_bit >= layout.bits_stored or _fits(sample_values(samples, whole), layout):
        return DecodedFrame(values, aligned)
    remark = (
        f"The compressed pixels have {precision_bits} bits a sample, Bits Stored says {layout.bits_stored}: all of "
        "them were used."
    )
    return DecodedFrame(sample_values(samples, whole), whole, (remark,))


def _of_bits(layout: FrameLayout, bits: int) -> FrameLayout:
    """Return the layout of right-aligned samples with that number of bits."""
    allocated = next(size for size in (8, 16, 32) if size >= bits)
    return replace(layout, bits_allocated=allocated, bits_stored=bits, high_bit=bits - 1)


def _fits(values: Stored, layout: FrameLayout) -> bool:
    """Tell whether values are whole in Bits Stored, as signed or as unsigned numbers."""
    low, high = int(values.min()), int(values.max())
    return low >= -(1 << (layout.bits_stored - 1)) and high < 1 << layout.bits_stored


def sample_values(samples: NDArray[np.integer], layout: FrameLayout) -> Stored:
    """Keep the stored bits of each sample and extend their sign; whatever is in unused bits goes (PS3.5 8.1.1)."""
    shift = layout.high_bit + 1 - layout.bits_stored
    if shift == 0 and layout.bits_stored == samples.dtype.itemsize * 8 and (samples.dtype.kind == "i") == layout.signed:
        return samples
    wide: NDArray[np.int64] | NDArray[np.int32]
    wide = samples.astype(np.int32) if samples.dtype.itemsize < 4 else samples.astype(np.int64)
    wide >>= shift
    wide &= (1 << layout.bits_stored) - 1
    if layout.signed:
        sign = 1 << (layout.bits_stored - 1)
        wide ^= sign
        wide -= sign
    return wide


def _native_samples(pixel_data: bytes, syntax: UID, layout: FrameLayout) -> NDArray[np.integer]:
    if len(pixel_data) < layout.frame_bytes:
        raise UnreadableImageError(
            f"the pixel data is cut off: {layout.columns} x {layout.rows} pixels need {layout.frame_bytes} bytes, "
            f"{len(pixel_data)} are there"
        )
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    count = layout.rows * layout.columns
    samples: NDArray[np.integer] = np.frombuffer(pixel_data, f"{order}u{layout.bits_allocated // 8}", count)
    return samples.reshape(layout.rows, layout.columns).astype(samples.dtype.newbyteorder("="), copy=False)


def _rle_samples(pixel_data: bytes, layout: FrameLayout) -> NDArray[np.integer]:
    """PS3.5 annex G; pydicom decodes it and refuses segments that end early."""
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
    }
    samples, _ = RLELosslessDecoder.as_array(pixel_data, raw=True, **options)
    return np.asarray(samples)


def _check_codestream(header: CodestreamHeader, layout: FrameLayout) -> None:
    """A stream larger than its header says would be decoded past every limit; a colour one is not a radiograph."""
    if (header.rows, header.columns) != (layout.rows, layout.columns):
        raise UnreadableImageError(
            f"Rows and Columns say {layout.columns} x {layout.rows} pixels, but the compressed stream holds "
            f"{header.columns} x {header.rows}"
        )
    if header.components != 1:
        raise UnreadableImageError(
            f"the header says one sample per pixel, but the compressed stream holds {header.components}"
        )
    if header.precision_bits > _MOST_BITS:
        raise UnreadableImageError(f"the stream has {header.precision_bits} bits a sample; at most 32 can be read")
    if header.overflowing_huffman_table:
        raise UnreadableImageError(
            "the JPEG stream has a Huffman table with more codes than can be told apart, as an old 16-bit encoder "
            "(Cornell's) wrote it, and no decoder can read it by the standard; store the file uncompressed"
        )


def _jpeg_samples(frame: bytes, syntax: UID, header: CodestreamHeader, layout: FrameLayout) -> NDArray[np.integer]:
    """10918-1, by GDCM, which picks its codec by Bits Allocated: it is told the stream's own bits, not the header's."""
    precision = header.precision_bits
    sample_bytes = 1 if precision <= 8 else 2
    lossy_12_bit = not header.lossless_jpeg and precision == _GDCM_PROCESS_BITS
    bits = (12, 12, 11) if lossy_12_bit else (8 * sample_bytes, precision, precision - 1)
    import gdcm  # noqa: PLC0415 - of the extra `results`: who receives does without

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    monochrome = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(monochrome))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    image.SetPixelFormat(gdcm.PixelFormat(1, *bits, 0))
    decoded = image.GetBuffer()
    if not decoded:
        raise UnreadableImageError("the JPEG stream is damaged")
    # GDCM hands bytes out as a string that SWIG decoded with surrogate escapes.
    raw = decoded.encode("utf-8", errors="surrogateescape")
    wanted = layout.rows * layout.columns * sample_bytes
    if len(raw) != wanted:
        raise UnreadableImageError(f"the JPEG stream is damaged: it gave {len(raw)} bytes, not {wanted}")
    return np.frombuffer(raw, dtype=f"u{sample_bytes}")


__all__ = ["DecodedFrame", "FrameLayout", "decode_frame", "sample_values", "stream_values"]
