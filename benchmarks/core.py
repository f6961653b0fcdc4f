"""What the model's core costs, as ratios of two sides measured in one run, in turns.

    python -m benchmarks.core [--threads 1] [--repeats 9]

Random weights throughout: time and memory do not depend on them. Prints Markdown; takes a few minutes.

- the patch loss against nested loops over images, findings and patches (tests/support/oracles.py), forward and backward
- `analyze_batch`, from decoded pixels to regions, against the bare image tower on the prepared input, ViT-B/16
- all findings against one
- the first analysis of a process against its second, with and without `warm_up` before, each in its own process
- peak memory while a loaded ViT-L/14 analyses one radiograph against the bare tower's, each in its own process
"""

from __future__ import annotations

import argparse
import functools
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from patchclip_core.checkpoints.checkpoint import load
from patchclip_core.inference.analyzer import NetworkAnalyzer
from patchclip_core.inference.warming import warm_up
from patchclip_core.io import read_radiograph
from patchclip_core.models.card import FindingCard
from patchclip_core.models.clip import ClipImageSettings, ClipTextSettings
from patchclip_core.models.losses import summed_patch_loss
from patchclip_core.models.methods.patchclip import PatchClip, PatchClipSettings
from patchclip_core.models.tokenizer import TOKENIZER_FILE
from patchclip_core.places.input_settings import PreprocessSettings
from patchclip_core.places.preprocess import preprocess
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Radiograph
from tests.support.checkpoints import write_network
from tests.support.oracles import patch_loss_by_loops

ROWS, COLUMNS = 2500, 2048
"""A usual digital radiograph."""

VIT_B_16 = ClipImageSettings(
    patch_size=16, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
)
VIT_L_14 = ClipImageSettings()
EMBEDDING = {VIT_B_16: 512, VIT_L_14: 768}


def write_checkpoint(folder: Path, tower: ClipImageSettings, findings: Sequence[str] | None = None) -> None:
    """Write a Patch-CLIP with random weights and CLIP's text tower, for the shipped findings or for some of them."""
    torch.manual_seed(0)
    definitions = [one for one in load_findings().values() if findings is None or one.key in findings]
    embedding = EMBEDDING[tower]
    text_tower = ClipTextSettings(
        hidden_size=embedding, intermediate_size=4 * embedding, num_attention_heads=embedding // 64
    )
    network = PatchClip(PatchClipSettings(input_px=224, embedding=embedding, image_tower=tower, text_tower=text_tower))
    words = sorted({word for one in definitions for line in (*one.positive, *one.negative) for word in line.split()})
    tokenizer = Tokenizer(WordLevel({"<start>": 0, **{word: index for index, word in enumerate(words, 1)}}, "<start>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    write_network(
        folder,
        network,
        name="benchmark",
        tokenizer_file=TOKENIZER_FILE,
        findings=[FindingCard(key=one.key, positive=one.positive, negative=one.negative) for one in definitions],
        preprocess=PreprocessSettings(input_px=224, grid=network.grid, mean=(0.48, 0.46, 0.41), std=(0.27, 0.26, 0.28)),
    )


def analyzer_of(tower: ClipImageSettings, findings: Sequence[str] | None = None) -> NetworkAnalyzer:
    """Return such a checkpoint's `NetworkAnalyzer`."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), tower, findings)
        return loaded(Path(folder))


def loaded(checkpoint: Path | str) -> NetworkAnalyzer:
    """Load a checkpoint that has a built-in architecture."""
    analyzer = load(checkpoint, device="cpu")
    assert isinstance(analyzer, NetworkAnalyzer)
    return analyzer


def radiographs(count: int) -> list[Radiograph]:
    """Return images of smooth noise, of a radiograph's size."""
    images = []
    for seed in range(count):
        coarse = torch.rand(1, 1, 20, 16, generator=torch.Generator().manual_seed(seed))
        smooth = torch.nn.functional.interpolate(coarse, (ROWS, COLUMNS), mode="bicubic")[0, 0].clamp(0, 1)
        images.append(Radiograph(smooth.numpy()))
    return images


def in_turns(
    repeats: int, *actions: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Return the seconds of each action's runs; they take turns, so that a busy machine slows all of them alike."""
    seconds: list[list[float]] = [[] for _ in actions]
    for action in actions:
        action()
    for _ in range(repeats):
        for action, taken in zip(actions, seconds, strict=True):
            start = clock()
            action()
            taken.append(clock() - start)
    return seconds


def report(name: str, sides: tuple[str, str], seconds: Sequence[Sequence[float]], goal: str) -> None:
    """Print a row: each side's best and median run, and the ratio of the best: what else runs here only adds time."""
    ratio = min(seconds[0]) / min(seconds[1])
    first, second = (
        f"{side} {1000 * min(taken):.3g} ms ({1000 * statistics.median(taken):.3g})"
        for side, taken in zip(sides, seconds, strict=True)
    )
    print(f"| {name} | {first} | {second} | {ratio:.3g} | {goal} |", flush=True)


def measure_loss(findings: int, repeats: int) -> None:
    """Compare the patch loss with loops, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    similarities = (torch.randn(8, findings, 256, 2, generator=generator) * 5).requires_grad_()
    targets = torch.rand(8, findings, 256, generator=generator)
    known = torch.rand(8, findings, 256, generator=generator) > 0.2

    def by_loops() -> torch.Tensor:
        return torch.autograd.grad(patch_loss_by_loops(similarities, targets, known), similarities)[0]

    def at_once() -> torch.Tensor:
        logits = similarities[..., 0] - similarities[..., 1]
        return torch.autograd.grad(summed_patch_loss(logits, targets, known), similarities)[0]

    difference = (by_loops() - at_once()).abs().max().item()
    assert difference < 1e-5, f"the gradients differ by {difference}"
    seconds = in_turns(min(repeats, 5), by_loops, lambda: [at_once() for _ in range(20)])
    seconds[1] = [taken / 20 for taken in seconds[1]]
    report(f"patch loss, batch 8, 256 patches, {findings} finding(s)", ("loops", "ours"), seconds, ">= 500")


def measure_analysis(repeats: int) -> None:
    """Compare the analysis with its bare tower, and all findings with one."""
    every, single = analyzer_of(VIT_B_16), analyzer_of(VIT_B_16, ["opacity"])
    tower = every.network.image_tower
    for batch in (1, 8):
        images = radiographs(batch)
        prepared = torch.from_numpy(np.stack([preprocess(image, every.card.preprocess)[0] for image in images]))

        def bare(prepared: torch.Tensor = prepared) -> object:
            with torch.inference_mode():
                return tower(prepared)

        seconds = in_turns(
            repeats if batch == 1 else max(3, repeats // 2),
            lambda images=images: every.analyze_batch(images),  # type: ignore[misc]  # a default of its own type
            bare,
            lambda images=images: single.analyze_batch(images),  # type: ignore[misc]  # likewise
        )
        report(f"analyze_batch, ViT-B/16, batch {batch}", ("all of it", "bare tower"), seconds[:2], "<= 1.25")
        report(f"findings, batch {batch}", ("eight", "one"), [seconds[0], seconds[2]], "<= 1.05")


def measure_decoding(repeats: int) -> None:
    """Print what reading the file costs beside."""
    (image,) = radiographs(1)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "DX", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = np.round(image.pixels * 4095).astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        dataset.save_as(path, enforce_file_format=True)
        (seconds,) = in_turns(repeats, lambda: read_radiograph(path))
    print(
        f"| decode, {COLUMNS} x {ROWS} DICOM, uncompressed | {1000 * statistics.median(seconds):.3g} ms | | | beside |"
    )


def measure_first_pass(threads: int, repeats: int) -> None:
    """Compare the first analysis of a process with its second, as loaded and after a warm-up."""
    command = [sys.executable, "-m", "benchmarks.core", "--threads", str(threads), "--first-of"]
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), VIT_B_16)
        for model, name in ((folder, "ViT-B/16"), ("untrained", "untrained")):
            for extra, how in (([], "as loaded"), (["--warm"], "after warm_up")):
                runs = []
                for _ in range(repeats):
                    output = subprocess.run(
                        [*command, model, *extra], check=True, capture_output=True, text=True
                    ).stdout
                    runs.append([float(value) for value in output.split()])
                first, second, warm = ([run[index] for run in runs] for index in range(3))
                goal = f"<= 1.25, for {1000 * min(warm):.3g} ms of warm-up" if extra else "beside"
                report(f"first analysis of a process, {name}, {how}", ("first", "second"), (first, second), goal)


def print_first_of(what: str, warm: bool) -> None:
    """Print the seconds of the first two analyses of a checkpoint in this process, and of the warm-up."""
    analyzer, (one, other) = loaded(what), radiographs(2)
    seconds = []
    before = warm_up(analyzer) if warm else 0.0
    for image in (one, other):
        start = time.perf_counter()
        analyzer.analyze_batch([image])
        seconds.append(time.perf_counter() - start)
    print(*seconds, before)


def measure_memory(threads: int) -> None:
    """Compare peaks of two processes that differ in what they run alone."""
    command = [sys.executable, "-m", "benchmarks.core", "--threads", str(threads)]
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), VIT_L_14)
        for extra in (["--peak-of", folder], ["--peak-of", "tower"]):
            output = subprocess.run([*command, *extra], check=True, capture_output=True, text=True).stdout
            peaks.append(int(output))
    sides = [f"{what} {peak / 2**20:.0f} MiB" for what, peak in zip(("analysis", "bare tower"), peaks, strict=True)]
    print(f"| peak memory, ViT-L/14, batch 1 | {sides[0]} | {sides[1]} | {peaks[0] / peaks[1]:.3g} | <= 1.2 |")


def print_peak_of(what: str) -> None:
    """Print the peak resident bytes while a checkpoint, or a bare tower, works; weights and libraries included."""
    run: Callable[[], object]
    if what == "tower":
        tower, prepared = VIT_L_14.build().eval(), torch.zeros(1, 3, 224, 224)
        run = functools.partial(tower, prepared)
    else:
        run = functools.partial(loaded(Path(what)).analyze_batch, radiographs(1))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again, after loading (proc(5))
    with torch.inference_mode():
        run()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(1024 * int(status.split("VmHWM:")[1].split()[0]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--first-of", help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.peak_of:
        print_peak_of(given.peak_of)
        return
    if given.first_of:
        print_first_of(given.first_of, given.warm)
        return
    print(f"torch {torch.__version__}, {given.threads} threads, images of {COLUMNS} x {ROWS}; best run (median)\n")
    print("| what | one side | other side | ratio | goal |\n|---|---|---|---|---|")
    measure_loss(1, given.repeats)
    measure_loss(8, given.repeats)
    measure_analysis(given.repeats)
    measure_decoding(given.repeats)
    measure_first_pass(given.threads, min(given.repeats, 3))
    measure_memory(given.threads)


if __name__ == "__main__":
    main()
