"""Names in every script come out of an archive as they went in: of an image, and of the results that lie beside it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from patchclip_node.domain.variants import ResultKind
from tests.peers.orthanc import orthanc
from tests.support.marked import analysed_study, radiograph_with_rectangle

NAMES = {"ISO_IR 126": "Διονυσίου^Άννα", "ISO_IR 127": "قباني^لنزار", "ISO_IR 144": "Люксембург^Роза"}


@pytest.mark.peer("orthanc")
def test_a_viewer_is_told_each_name_whole_whichever_object_it_asks_for(tmp_path: Path) -> None:
    told: dict[str, set[str]] = {}
    with orthanc(tmp_path / "orthanc", dicomweb=True) as archive:
        for number, (encoding, name) in enumerate(NAMES.items()):
            source, rectangle = radiograph_with_rectangle(SpecificCharacterSet=encoding, PatientName=name)
            folder = tmp_path / str(number)
            folder.mkdir()
            path = folder / "image.dcm"
            source.save_as(path, enforce_file_format=True)
            study = analysed_study(folder, path, rectangle)
            for file in (path, study.objects[ResultKind.SR], study.objects[ResultKind.TEXT_SR]):
                archive.keep(file)
            asked = f"studies/{source.StudyInstanceUID}/instances?includefield=00100010"
            found = [*_asked(archive.http_port, "studies"), *_asked(archive.http_port, asked)]
            told[name] = {one["00100010"]["Value"][0]["Alphabetic"] for one in found} - told.keys()

    assert told == {name: {name} for name in NAMES.values()}


def _asked(port: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/dicom-web/{what}", timeout=30) as answer:
        return json.loads(answer.read())
