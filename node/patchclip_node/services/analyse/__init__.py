"""Analyse a study: `analyse_instances` from files to results, `AnalysisService` under a lease of the ledger."""

from patchclip_node.services.analyse.images import Decoder, analyse_instances
from patchclip_node.services.analyse.outcome import (
    Analysed,
    AnalysedFile,
    Rejected,
    SkippedFile,
    StepTimer,
    StudyImage,
    StudyOutcome,
)
from patchclip_node.services.analyse.service import AnalysisService

__all__ = [
    "Analysed",
    "AnalysedFile",
    "AnalysisService",
    "Decoder",
    "Rejected",
    "SkippedFile",
    "StepTimer",
    "StudyImage",
    "StudyOutcome",
    "analyse_instances",
]
