"""From two files to a picture: which object it is, whether it belongs to the image, and who reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from pydicom import Dataset
from pydicom.uid import (
    UID,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from patchclip_core.io import DecodeLimits, read_radiograph
from patchclip_node.dicom.headers import read_dataset, referred_to, text
from patchclip_node.rendering.annotations import (
    is_grey_picture,
    read_key_objects,
    read_picture,
    read_presentation_state,
)
from patchclip_node.rendering.marks import CannotRenderError, Marks, short
from patchclip_node.rendering.paint import paint
from patchclip_node.rendering.presented import write_presented
from patchclip_node.rendering.reports import read_report
from patchclip_node.rendering.segmentations import read_parametric_map, read_segmentation

_LABEL_MAP_SEGMENTATION_STORAGE: Final = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""PS3.4 B.5, table B.5-1; pydicom has no name for it."""
_SEGMENTATIONS: Final = frozenset({SegmentationStorage, _LABEL_MAP_SEGMENTATION_STORAGE})
_STRUCTURED_REPORTS: Final = "1.2.840.10008.5.1.4.1.1.88."
"""What the SOP Class UIDs of structured reports begin with (PS3.4 B.5, table B.5-1)."""
_NAMES_SHOWN: Final = 3


def render(object_path: Path, image_path: Path, limits: DecodeLimits, *, anyway: bool = False) -> Image.Image:
    """Return the picture of an object over its image.

    anyway: draw even where the object does not refer to the image. Raises `CannotRenderError`,
    `UnreadableInstanceError` and the errors of `patchclip_core.io`.
    """
    header, image = read_dataset(object_path), read_dataset(image_path)
    warnings = _relation(header, image, image_path, anyway=anyway)
    for dataset, path in ((header, object_path), (image, image_path)):
        if "Rows" in dataset:
            limits.check_pixels(int(dataset.Rows), int(dataset.get("Columns") or 0))
        elif dataset is image:
            raise CannotRenderError(f"{path.name} is not an image: it has no Rows")
    marks = read_marks(object_path, header, image)
    if marks.picture is not None:
        return paint(marks, None, "")
    title = f"{UID(header.SOPClassUID).name}: {short(text(header, 'SeriesDescription')) or object_path.name}"
    if header.SOPClassUID != GrayscaleSoftcopyPresentationStateStorage:
        under = object_path if is_grey_picture(header) else image_path
        return paint(marks, read_radiograph(under, limits), title, warnings)
    with tempfile.TemporaryDirectory() as folder:
        presented = Path(folder) / "presented.dcm"
        write_presented(image_path, image, header, presented)
        return paint(marks, read_radiograph(presented, limits, as_stated=True), title, warnings)


def _relation(header: Dataset, image: Dataset, image_path: Path, *, anyway: bool) -> tuple[str, ...]:
    uids = referred_to(header)
    if str(image.SOPInstanceUID) in uids:
        return ()
    named = sorted(uids)[:_NAMES_SHOWN]
    others = f"it refers to {', '.join(named)}{' and others' if len(uids) > _NAMES_SHOWN else ''}"
    if not anyway:
        raise CannotRenderError(
            f"the object does not refer to {image_path.name} ({image.SOPInstanceUID}): "
            f"{others if uids else 'it refers to no image'}. Give that image, or --anyway to draw it all the same"
        )
    return ("THE OBJECT DOES NOT REFER TO THIS IMAGE",)


def read_marks(path: Path, header: Dataset, image: Dataset) -> Marks:
    """Return what an object says of an image. Raises `CannotRenderError`."""
    sop_class = str(header.SOPClassUID)
    if sop_class in _SEGMENTATIONS:
        return read_segmentation(path, header, image)
    if sop_class == ParametricMapStorage:
        return read_parametric_map(path, header, image)
    if sop_class == GrayscaleSoftcopyPresentationStateStorage:
        return read_presentation_state(header, image)
    if sop_class == SecondaryCaptureImageStorage:
        return read_picture(path, header)
    if sop_class == KeyObjectSelectionDocumentStorage:
        return read_key_objects(header, image)
    if sop_class.startswith(_STRUCTURED_REPORTS):
        return read_report(header, image)
    raise CannotRenderError(
        f"{UID(sop_class).name} cannot be drawn over an image: give a segmentation, parametric map, structured report, "
        "presentation state, key object selection or Secondary Capture"
    )
