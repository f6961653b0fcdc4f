"""What an analysis needs in a test: a model that answers at once, a decoder that obeys, a study that waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from patchclip_core.values.results import Findings, ModelIdentity, Radiograph
from patchclip_node.adapters.ledger import SqlLedger
from patchclip_node.adapters.uid_generator import DerivedUidGenerator
from patchclip_node.dicom.headers import read_header
from patchclip_node.domain.records import ReceivedInstance
from patchclip_node.ports.spool import Spool
from patchclip_node.services.analyse import ResultIssuer
from tests.peers.radiographs import radiograph
from tests.support.fakes import START
from tests.support.synthetic import DEFINITIONS, FULL_RANGE, UNTRAINED, WORDINGS, absent, geometry, localised


@dataclass
class OpacityEverywhere:
    """A model that finds an opacity in the upper left quarter of every image that is bright somewhere."""

    identity: ModelIdentity = UNTRAINED
    trouble: Exception | None = None
    batch_sizes: list[int] = field(default_factory=list)
    finding_keys: tuple[str, ...] = tuple(DEFINITIONS)

    def analyze_batch(self, radiographs: Sequence[Radiograph]) -> list[Findings]:
        if self.trouble is not None:
            raise self.trouble
        self.batch_sizes.append(len(radiographs))
        return [self._findings(image) for image in radiographs]

    def _findings(self, image: Radiograph) -> Findings:
        form = geometry(image.rows, image.columns)
        items = [
            localised(key, [(2, 3, 3, 3)], form) if key == "opacity" and image.pixels.max() > 0.9 else absent(key, 0.1)
            for key in self.finding_keys
        ]
        return Findings(tuple(items), form, self.identity, image.remarks)


@dataclass
class FakeDecoder:
    """Gives each file the same pixels, or raises what `troubles` has for its name; `trouble` is raised for all."""

    bright: bool = True
    trouble: Exception | None = None
    troubles: dict[str, Exception] = field(default_factory=dict)

    def read(self, path: Path) -> Radiograph:
        if trouble := self.trouble or self.troubles.get(path.name):
            raise trouble
        pixels = np.full((128, 96), 0.2, dtype=np.float32)
        if self.bright:
            pixels[20:40, 20:40] = 1.0
        return Radiograph(pixels, display=FULL_RANGE)


def result_issuer() -> ResultIssuer:
    """Return the issuer of a node with the shipped findings and wordings."""
    return ResultIssuer(DerivedUidGenerator(), "PATCHCLIP", DEFINITIONS, WORDINGS)


def receive(ledger: SqlLedger, spool: Spool, path: Path, now: datetime = START) -> ReceivedInstance:
    """Put a DICOM file into spool and ledger as the receiver does."""
    stored = spool.write([path.read_bytes()])
    instance = ReceivedInstance(
        header=read_header(path),
        spool_key=stored.key,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        received_at=now,
        calling_ae_title="MODALITY",
        called_ae_title="PATCHCLIP",
        peer_address="127.0.0.1",
    )
    ledger.arrivals.record(instance)
    return instance


def radiograph_file(folder: Path, name: str, study_instance_uid: str = "1.2.3", **attributes: Any) -> Path:
    """Write a synthetic radiograph; keyword arguments set attributes by keyword."""
    dataset = radiograph(study_instance_uid=study_instance_uid)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path
