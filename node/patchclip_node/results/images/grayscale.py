"""The display that an analysis used, as a presentation state says it (PS3.3 C.11.1, C.11.8 and C.11.6).

A presentation state replaces the image's own transforms and its polarity (PS3.4 N.2): one that left them out would show
the image flat or inverted, and one that copied them from a header that the analysis did not follow, something else than
the model saw. A sigmoid goes as a table: DCMTK takes VOI LUT Function for linear in presentation states.
"""

from __future__ import annotations

import math

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.valuerep import DSfloat

from patchclip_core.io.display import apply_voi
from patchclip_core.values.display import Display, LookupTable, Rescale, VoiFunction, Window

_LUT_DESCRIPTOR, _LUT_DATA = 0x00283002, 0x00283006
_ENTRIES_WRITTEN_AS_0 = 65536
_MODALITY_LUT_BITS = 16
_HIGHEST_ENTRY = (1 << _MODALITY_LUT_BITS) - 1
_SIGMOID_WIDTHS = 2.0
"""Widths from its centre at which a sigmoid is black or white to less than a thousandth."""
_FINE_WIDTH = 64.0
_NEARLY_BLACK = 0.02


def softcopy_modules(display: Display) -> Dataset:
    """Return the Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT modules, valid for the stored values."""
    modules = Dataset()
    match display.modality:
        case LookupTable() as table:
            item = _table(table, _MODALITY_LUT_BITS)
            item.ModalityLUTType = "US"
            modules.ModalityLUTSequence = [item]
        case Rescale(slope, intercept) if display.modality != Rescale():
            modules.RescaleSlope, modules.RescaleIntercept = _decimal(slope), _decimal(intercept)
            modules.RescaleType = "US"
    voi = Dataset()
    match _as_table(display.voi):
        case LookupTable() as table:
            voi.VOILUTSequence = [_table(table, table.bits)]
        case Window(centre, width, function):
            voi.WindowCenter, voi.WindowWidth = _decimal(centre), _decimal(width)
            if function is not VoiFunction.LINEAR:
                voi.VOILUTFunction = function.value
    modules.SoftcopyVOILUTSequence = [voi]
    modules.PresentationLUTShape = "INVERSE" if display.inverted else "IDENTITY"
    return modules


def _as_table(voi: LookupTable | Window) -> LookupTable | Window:
    """Return a sigmoid as the table that shows the same, where whole inputs tell it finely enough; else what came."""
    if not isinstance(voi, Window) or voi.function is not VoiFunction.SIGMOID or voi.width < _FINE_WIDTH:
        return voi
    first = math.floor(voi.centre - _SIGMOID_WIDTHS * voi.width)
    last = math.ceil(voi.centre + _SIGMOID_WIDTHS * voi.width)
    if first < 0 and float(apply_voi(np.zeros(1, np.float32), voi)[0]) < _NEARLY_BLACK:
        first = 0  # what is below is as good as black, and DCMTK misreads a table that begins below 0
    if not 0 <= first < last < _ENTRIES_WRITTEN_AS_0:
        return voi
    shown = apply_voi(np.arange(first, last + 1, dtype=np.float32), voi)
    return LookupTable(first, np.rint(shown * _HIGHEST_ENTRY).astype(np.uint16), _MODALITY_LUT_BITS)


def _table(table: LookupTable, bits: int) -> Dataset:
    """Return the item of a LUT sequence: entries as words, whatever the source wrote them as (PS3.3 C.11.1.1).

    The descriptor is SS where the first input is negative; its count is unsigned all the same.
    """
    item = Dataset()
    count = len(table.entries) % _ENTRIES_WRITTEN_AS_0
    item.add(DataElement(_LUT_DESCRIPTOR, "SS" if table.first < 0 else "US", [count, table.first, bits]))
    item.add(DataElement(_LUT_DATA, "OW", table.entries.astype("<u2").tobytes()))
    return item


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
