"""What the results of one study of 2500 x 2000 pixels cost: time on one core, and memory beyond the pixels.

    OMP_NUM_THREADS=1 python -m benchmarks.results

A DX of that size with three present findings, two of them with places, every kind of object, and its picture as the
worker draws it and writes it for its pages. The pixels are noise, of which a file is larger than of a radiograph; as
PNG is for comparison. Reading and encoding the source itself with pydicom is measured in the same run, to compare
with. Prints processor time of the one thread, the least of several runs, since a shared machine only adds to it, and
sums: what everybody pays comes first. Takes some seconds.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from patchclip_core.drawing import as_jpeg, as_png, draw_overlay
from patchclip_core.values.results import Findings, Radiograph
from patchclip_node.domain.variants import PictureStyle, ResultKind, ResultVariant
from patchclip_node.results import ResultContext, build_results, encode
from patchclip_node.results.facts import AnalysedImage, Picture
from patchclip_node.results.source import read_facts
from tests.support.synthetic import DX, FULL_RANGE, findings_for, result_context, source_image

ROWS, COLUMNS = 2500, 2000
PRESENT = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}
OPT_IN = frozenset({ResultKind.FRACTIONAL_SEG, ResultKind.PARAMETRIC_MAP})
VARIANTS = [ResultVariant.usual(kind) for kind in ResultKind]
RUNS = 15


def source(rows: int, columns: int) -> Dataset:
    """Return the image, uncompressed, 16 bits."""
    dataset = source_image(SOPClassUID=DX, Modality="DX", Rows=rows, Columns=columns)
    dataset.PixelData = np.random.default_rng(0).integers(0, 4096, (rows, columns), dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


class Study:
    """A study of one image that was analysed, before anything is made of it."""

    def __init__(self, rows: int, columns: int, context: ResultContext) -> None:
        self.context = context  # the worker reads definitions and wordings when it starts, not for each study
        self.file = encode(source(rows, columns))
        self.header = dcmread(BytesIO(self.file))
        self.radiograph = Radiograph(np.asarray(self.header.pixel_array, dtype=np.float32) / 4095)
        del self.header.PixelData
        self.findings: Findings = findings_for(self.header, PRESENT)

    def drawn(self) -> tuple[Image.Image, AnalysedImage]:
        """Draw the picture; returns what its file and what objects are built of."""
        usual, definitions = PictureStyle(), self.context.definitions
        drawn = draw_overlay(self.radiograph, self.findings, definitions, longest_side_px=usual.longest_side_px)
        picture = Picture(drawn.height, drawn.width, drawn.tobytes())
        return drawn, AnalysedImage(read_facts(self.header), self.findings, FULL_RANGE, (), {usual: picture})

    def objects(self, image: AnalysedImage, variants: list[ResultVariant]) -> list[bytes]:
        """Build and encode objects."""
        return [encode(dataset) for _, dataset in build_results([image], [], self.context, variants)]


def measured(run: Callable[[], object]) -> float:
    """Return the best time of several runs, in milliseconds."""
    best = float("inf")
    for _ in range(RUNS):
        gc.collect()
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return 1000 * best


def peak_bytes() -> int:
    """Return the most memory that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure and print."""
    context = result_context()
    study, little = Study(ROWS, COLUMNS, context), Study(100, 80, context)
    little.objects(little.drawn()[1], VARIANTS)  # what a first use loads is paid once a worker

    before = peak_bytes()
    drawn, image = study.drawn()
    kept = as_jpeg(drawn), study.objects(image, VARIANTS)
    beyond = peak_bytes() - before
    del kept

    print("| what | ms |\n|---|---|")
    print(f"| the source, read and encoded by pydicom | {measured(lambda: encode(dcmread(BytesIO(study.file)))):.0f} |")
    drawing, packing, png = (measured(of) for of in (study.drawn, lambda: as_jpeg(drawn), lambda: as_png(drawn)))
    print(f"| the picture, drawn | {drawing:.0f} |\n| the picture, as JPEG | {packing:.0f} |\n| as PNG | {png:.0f} |")
    each = {one.kind: measured(lambda one=one: study.objects(image, [one])) for one in VARIANTS}
    for kind, time_ms in each.items():
        print(f"| {kind.value} | {time_ms:.0f} |")
    standard = sum(time_ms for kind, time_ms in each.items() if kind not in OPT_IN)
    print(f"| all objects but those for research | {standard:.0f} |")
    print(f"| all objects | {sum(each.values()):.0f} |")
    print(f"| the picture, and all objects but those for research | {drawing + packing + standard:.0f} |")
    print(f"| the picture, and all objects | {drawing + packing + sum(each.values()):.0f} |")
    pixels = study.radiograph.pixels.nbytes
    print(f"\nMemory beyond the pixels, at most: {beyond / 1e6:.0f} MB ({pixels / 1e6:.0f} MB of pixels)")


if __name__ == "__main__":
    main()
