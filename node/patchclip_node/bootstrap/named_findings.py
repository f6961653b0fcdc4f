"""What the model finds has to have a name, codes and a colour."""

from __future__ import annotations

from patchclip_core.checkpoints.checkpoint import find, read_card
from patchclip_core.values.definitions import load_findings
from patchclip_node.domain.errors import ConfigurationError
from patchclip_node.settings import NodeSettings


def refuse_unnamed_findings(settings: NodeSettings) -> None:
    """Raise `ConfigurationError` where the findings file does not name what the model finds, by its card.

    Raises `CheckpointError` where there is no card, and `FindingsFileError`.
    """
    named = load_findings(settings.findings_file)
    unnamed = [one.key for one in read_card(find(settings.model)).findings if one.key not in named]
    if unnamed:
        raise ConfigurationError(
            f"findings_file: the model {settings.model} finds {', '.join(unnamed)}, which the file does not name: "
            "add an entry for each"
        )
