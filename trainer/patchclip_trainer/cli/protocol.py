"""What `evaluate` and `measure` do with `--protocol`: run it, write it, print its means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchclip_core.terminal import console

if TYPE_CHECKING:
    from patchclip_trainer.evaluation.measure_table import Progress
    from patchclip_trainer.evaluation.protocols.run import ProtocolSettings


def show_protocol(settings: ProtocolSettings, progress: Progress) -> None:
    """Measure by a protocol; write its files and print the means over its classes."""
    from patchclip_trainer.evaluation.protocols.report import write_protocol
    from patchclip_trainer.evaluation.protocols.run import run_protocol
    from patchclip_trainer.evaluation.report import shown

    record, terminal = run_protocol(settings, progress), console()
    write_protocol(record, settings.out)
    data = record["data"]
    terminal.print(f"{data['about']}: {data['images']} images of {data['patients']} patients", markup=False)
    if (seen := record["trained_on_these"]) and seen["images"]:
        said = f"{seen['images']} of these images are of {seen['patients']} patients that the checkpoint was trained on"
        terminal.print(said, style="bold red", markup=False)
    if record["unanswered"]:
        terminal.print(f"not answered: {', '.join(record['unanswered'])}", style="yellow", markup=False)
    for measure in record["measures"].values():
        classes = len(measure["classes_in_the_mean"])
        said = f"{measure['title']}: {shown(measure['mean_over_classes'])}, mean over {classes} classes"
        terminal.print(said, markup=False)
    terminal.print(f"everything else: {settings.out / 'protocol.html'}", markup=False, soft_wrap=True)
