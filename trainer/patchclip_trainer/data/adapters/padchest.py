"""PadChest (Bustos et al. 2020): `PADCHEST_chest_x_ray_images_labels_160K_*.csv` (or `.csv.gz`), PNG files of 16 bits.

Columns: ImageID, ImageDir, StudyDate_DICOM, PatientID, PatientBirth, PatientSex_DICOM, Projection (PA, AP,
AP_horizontal, L, COSTAL, EXCLUDE), MethodLabel (Physician or RNN_model) and Labels, a list in brackets. Images lie in
folders called by ImageDir, or anywhere below. The reports in the list are stems of Spanish words; they are not kept.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.folders import PICTURES, by_name
from patchclip_trainer.data.listing import Listing, number, read_table
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place

SOURCE = "PadChest"
_TABLE = "PADCHEST_chest_x_ray_images_labels_160K_*.csv*"
_COLUMNS = ("ImageID", "PatientID", "Projection", "MethodLabel", "Labels")
_FRONTAL = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP supine"}
_NAMES = {
    "normal": "No Finding", "alveolar pattern": "Lung Opacity", "atelectasis": "Atelectasis",
    "laminar atelectasis": "Atelectasis", "lobar atelectasis": "Atelectasis", "total atelectasis": "Atelectasis",
    "round atelectasis": "Atelectasis", "cardiomegaly": "Cardiomegaly", "consolidation": "Consolidation",
    "emphysema": "Emphysema", "fracture": "Fracture", "clavicle fracture": "Clavicle Fracture",
    "rib fracture": "Rib Fracture", "ground glass pattern": "Ground Glass Opacity", "hiatal hernia": "Hernia",
    "infiltrates": "Infiltration", "mass": "Mass", "pulmonary mass": "Mass", "nodule": "Nodule",
    "multiple nodules": "Nodule", "pleural effusion": "Pleural Effusion",
    "loculated pleural effusion": "Pleural Effusion",
    "pleural thickening": "Pleural Thickening", "apical pleural thickening": "Pleural Thickening",
    "pneumonia": "Pneumonia", "atypical pneumonia": "Pneumonia", "pneumothorax": "Pneumothorax",
    "hydropneumothorax": "Pneumothorax", "pulmonary edema": "Pulmonary Edema",
    "pulmonary fibrosis": "Pulmonary Fibrosis",
    "tuberculosis": "Tuberculosis", "copd signs": "COPD", "endotracheal tube": "Endotracheal Tube",
    "nsg tube": "Nasogastric Tube", "central venous catheter": "Central Venous Line",
}  # fmt: skip
"""PadChest's labels that this product knows by a name. The other of its 174 are counted, once each."""

_SAYS_NOTHING = frozenset({"exclude", "suboptimal study", "unchanged", ""})


def read(folder: Path) -> Manifest:
    """Read the frontal images; others are listed and left out. All labels come from reports, whoever gave them."""
    listing = Listing(folder)
    paths, copies = by_name(folder, PICTURES)
    listing.copies(copies)
    unknown: Counter[str] = Counter()
    (table,) = sorted(folder.glob(_TABLE))[:1]
    for place, cells in read_table(table, _COLUMNS):
        labels = _labels(cells["Labels"])
        unknown.update(label for label in set(labels) if label not in _NAMES and label not in _SAYS_NOTHING)
        _add(listing, place, cells, paths.get(cells["ImageID"], cells["ImageID"]), labels)
    for label, count in unknown.most_common():
        what, action = f"{count} images have the label {label!r}", "label left out: it has no name here"
        listing.problem(Place(table.name), "unknown finding", what, action)
    return listing.manifest()


def _add(listing: Listing, place: Place, cells: dict[str, str], image: str, labels: tuple[str, ...]) -> None:
    view = _FRONTAL.get(cells["Projection"])
    if view is None:
        listing.refuse(place, image, "not frontal chest", f"Projection is {cells['Projection'] or '(empty)'}")
        return
    if "exclude" in labels:
        listing.refuse(place, image, "not usable", "PadChest's own label for it is `exclude`")
        return
    by = "physicians'" if cells["MethodLabel"].casefold() == "physician" else "a network's"
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=f"padchest-{cells['PatientID']}",
            source=SOURCE,
            view=view,
            sex=sex if (sex := cells.get("PatientSex_DICOM", "").upper()) in {"F", "M"} else "",
            age_years=_age(cells.get("StudyDate_DICOM", ""), cells.get("PatientBirth", "")),
            labels=tuple(dict.fromkeys(_NAMES[label] for label in labels if label in _NAMES)),
            label_source=f"{by}, from reports (PadChest)",
            place=place,
        )
    )


def _labels(text: str) -> tuple[str, ...]:
    """Return the labels of `['pleural effusion', ' normal']`, in lower case."""
    parts = text.strip().strip("[]").split(",")
    return tuple(label for part in parts if (label := part.strip().strip("'\"").strip().casefold()))


def _age(study_date: str, birth_year: str) -> int | None:
    years = number(study_date[:4]) - number(birth_year[:4])
    return min(int(years), 90) if 0 <= years <= 150 else None


PADCHEST = Adapter(
    name="padchest",
    title="PadChest: PADCHEST_chest_x_ray_images_labels_160K_*.csv",
    recognises=lambda folder: any(folder.glob(_TABLE)),
    read=read,
)
