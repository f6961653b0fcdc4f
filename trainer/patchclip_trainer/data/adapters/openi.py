"""OpenI, the Indiana University collection (Demner-Fushman et al. 2016): XML reports or Kaggle's two tables.

XML: `ecgen-radiology/<number>.xml` (NLMCXR_reports.tgz) and images `<id>.png` or `.dcm` anywhere below. Kaggle:
`indiana_reports.csv` (uid, ..., findings, impression) and `indiana_projections.csv` (uid, filename, projection).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from patchclip_core.reports.sentences import says_something
from patchclip_trainer.data.adapters.adapter import Adapter
from patchclip_trainer.data.adapters.dicom import SUFFIXES
from patchclip_trainer.data.adapters.folders import PICTURES, by_name
from patchclip_trainer.data.listing import Listing, read_table, words
from patchclip_trainer.data.manifest import ImageRow, Manifest, Place

SOURCE = "OpenI (Indiana University)"
_LICENCE = "cc-nc"
_REPORTS, _PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"


def read(folder: Path) -> Manifest:
    """Read reports and the images that belong to them; a study counts as a patient."""
    return _read_tables(folder) if (folder / _PROJECTIONS).is_file() else _read_xml(folder)


def _read_tables(folder: Path) -> Manifest:
    listing = Listing(folder)
    paths, copies = by_name(folder, PICTURES)
    listing.copies(copies)
    reports: dict[str, tuple[str, tuple[str, ...]]] = {}
    for place, cells in read_table(folder / _REPORTS, ("uid", "findings", "impression")):
        text = _text(listing, place, cells["findings"], cells["impression"])
        normal = cells.get("Problems", "").casefold() == "normal"
        reports[cells["uid"]] = (text, ("No Finding",) if normal else ())
    for place, cells in read_table(folder / _PROJECTIONS, ("uid", "filename", "projection")):
        image = paths.get(cells["filename"], cells["filename"])
        if cells["projection"].casefold() != "frontal":
            listing.refuse(place, image, "not frontal chest", f"the projection is {cells['projection']}")
            continue
        if cells["uid"] not in reports:
            what = f"{cells['uid']} is not in {_REPORTS}"
            listing.problem(place, "missing report", what, "image kept without text")
        text, labels = reports.get(cells["uid"], ("", ()))
        _add(listing, place, image, cells["uid"], text, labels)
    return listing.manifest()


def _read_xml(folder: Path) -> Manifest:
    listing = Listing(folder)
    paths, copies = by_name(folder, PICTURES | SUFFIXES)
    listing.copies(copies)
    by_stem = {Path(name).stem: path for name, path in paths.items()}
    for file in sorted(folder.glob("**/ecgen-radiology/*.xml")):
        place = Place(file.relative_to(folder).as_posix())
        try:
            # No entity is resolved from outside; expat limits how far those inside may grow.
            root = ET.parse(file).getroot()  # noqa: S314
        except ET.ParseError as error:
            listing.problem(place, "damaged report", f"no XML ({error})", "report and its images left out")
            continue
        said = {item.get("Label", "").upper(): (item.text or "").strip() for item in root.iter("AbstractText")}
        text = _text(listing, place, said.get("FINDINGS", ""), said.get("IMPRESSION", ""))
        major = [(item.text or "").casefold() for item in root.iter("major")]
        labels = ("No Finding",) if major == ["normal"] else ()
        images = [item.get("id", "") for item in root.iter("parentImage")]
        if not images:
            listing.problem(place, "no image", "the report names no image", "report left out")
        for name in images:
            # The collection does not say which image is the lateral one.
            listing.problem(place, "view unknown", f"{name} may be a lateral", "image kept, look at it before use")
            _add(listing, place, by_stem.get(name, name), file.stem, text, labels)
    return listing.manifest()


def _add(listing: Listing, place: Place, image: str, study: str, text: str, labels: tuple[str, ...]) -> None:
    listing.add_image(
        ImageRow(
            image=image,
            patient_id=f"openi-{study}",
            source=SOURCE,
            licence_class=_LICENCE,
            labels=labels,
            label_source="MeSH codes of reports (OpenI)" if labels else "",
            text=text,
            place=place,
        )
    )


def _text(listing: Listing, place: Place, findings: str, impression: str) -> str:
    if not (says_something(findings) or says_something(impression)):
        what = "neither findings nor impression have words"
        listing.problem(place, "empty report", what, "image kept without text")
        return ""
    parts = (("FINDINGS", findings), ("IMPRESSION", impression))
    return "\n".join(f"{heading}: {said}" for heading, said in parts if words(said, "\n"))


OPENI = Adapter(
    name="openi",
    title=f"OpenI: {_REPORTS} with {_PROJECTIONS}, or ecgen-radiology/*.xml",
    recognises=lambda folder: (folder / _PROJECTIONS).is_file() or any(folder.glob("**/ecgen-radiology/*.xml")),
    read=read,
)
