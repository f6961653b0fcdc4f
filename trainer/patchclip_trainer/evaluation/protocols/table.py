"""The protocols that `evaluate --protocol` knows: a row each."""

from __future__ import annotations

from patchclip_trainer.errors import DataError
from patchclip_trainer.evaluation.protocols.chestx_det10 import CHESTX_DET10
from patchclip_trainer.evaluation.protocols.chexpert5 import CHEXPERT5
from patchclip_trainer.evaluation.protocols.ms_cxr import MS_CXR
from patchclip_trainer.evaluation.protocols.protocol import Protocol
from patchclip_trainer.evaluation.protocols.rsna import RSNA_PNEUMONIA
from patchclip_trainer.evaluation.protocols.vindr_cxr import VINDR_CXR

PROTOCOLS: tuple[Protocol, ...] = (CHESTX_DET10, MS_CXR, VINDR_CXR, RSNA_PNEUMONIA, CHEXPERT5)


def protocol_named(name: str) -> Protocol:
    """Return the protocol of this name. Raises `DataError`, which names those there are."""
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    raise DataError(f"there is no protocol '{name}'; there are {', '.join(item.name for item in PROTOCOLS)}")
