"""What all result objects of one study of 2500 x 2000 pixels cost: time on one core, and memory beyond the pixels.

    OMP_NUM_THREADS=1 python -m benchmarks.results

A DX of that size with three present findings, two of them with places, every kind of object. Reading and encoding the
source itself with pydicom is measured in the same run, to compare with. Prints processor time of the one thread, the
least of several runs, since a shared machine only adds to it, and the standard objects' sum. Takes some seconds.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from patchclip_core.drawing import draw_overlay
from patchclip_core.types import Radiograph
from patchclip_node.domain.records import WITH_GEOMETRY, PictureStyle, PlaneGeometry, ResultKind, ResultVariant
from patchclip_node.results import AnalysedImage, build_results, encode
from tests.synthetic import DX, findings_for, result_context, source_image

ROWS, COLUMNS = 2500, 2000
PRESENT = {"opacity": [(3, 3, 3, 3), (8, 9, 2, 2)], "pleural_effusion": [(10, 2, 3, 3)], "edema": []}
OPT_IN = frozenset({ResultKind.FRACTIONAL_SEG, ResultKind.PARAMETRIC_MAP})
RUNS = 15
PNG_LEVEL = 3
"""As the worker writes its pictures."""


def source() -> Dataset:
    """Return the image, uncompressed, 16 bits."""
    dataset = source_image(SOPClassUID=DX, Modality="DX", Rows=ROWS, Columns=COLUMNS)
    dataset.PixelData = np.random.default_rng(0).integers(0, 4096, (ROWS, COLUMNS), dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def drawn(image: AnalysedImage, radiograph: Radiograph) -> bytes:
    """Return the picture of an image as the worker draws and writes it."""
    png = BytesIO()
    draw_overlay(radiograph, image.findings, result_context().definitions).save(png, "PNG", compress_level=PNG_LEVEL)
    return png.getvalue()


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
    file = encode(source())
    header = dcmread(BytesIO(file))
    pixels = np.asarray(header.pixel_array, dtype=np.float32) / 4095
    del header.PixelData
    radiograph = Radiograph(pixels)
    plain = AnalysedImage(header, findings_for(header, PRESENT))
    # What a first use loads and caches is paid once a worker, not once a study.
    small = source_image(Rows=100, Columns=80)
    little = AnalysedImage(small, findings_for(small, PRESENT))
    little = AnalysedImage(small, little.findings, (), {PictureStyle(): drawn(little, Radiograph(pixels[:100, :80]))})
    variants = [ResultVariant(kind, PlaneGeometry.IDENTITY if kind in WITH_GEOMETRY else None) for kind in ResultKind]
    [encode(dataset) for _, dataset in build_results([little], [], result_context(), variants)]

    before = peak_bytes()
    image = AnalysedImage(header, plain.findings, (), {PictureStyle(): drawn(plain, radiograph)})
    [encode(dataset) for _, dataset in build_results([image], [], result_context(), variants)]
    beyond = peak_bytes() - before

    print("| what | ms |\n|---|---|")
    print(f"| the source, read and encoded by pydicom | {measured(lambda: encode(dcmread(BytesIO(file)))):.0f} |")
    picture = measured(lambda: drawn(plain, radiograph))
    print(f"| the picture, drawn and written | {picture:.0f} |")
    total = standard = 0.0
    for variant in variants:
        each = measured(
            lambda variant=variant: [
                encode(dataset) for _, dataset in build_results([image], [], result_context(), [variant])
            ]
        )
        total += each
        standard += each if variant.kind not in OPT_IN else 0.0
        print(f"| {variant.kind.value} | {each:.0f} |")
    print(f"| all objects but those for research | {standard:.0f} |")
    print(f"| all objects | {total:.0f} |")
    print(f"\nMemory beyond the pixels, at most: {beyond / 1e6:.0f} MB ({pixels.nbytes / 1e6:.0f} MB of pixels)")


if __name__ == "__main__":
    main()
