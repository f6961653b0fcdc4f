"""Analyse a study.

`analyse_instances` goes from files to results, `StudyAnalysis` from spool to spool, `AnalysisService` works under a
lease of the ledger.
"""

from patchclip_node.services.analyse.images import Decoder, analyse_instances
from patchclip_node.services.analyse.issuer import ResultIssuer
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
from patchclip_node.services.analyse.study import StudyAnalysis

__all__ = [
    "Analysed",
    "AnalysedFile",
    "AnalysisService",
    "Decoder",
    "Rejected",
    "ResultIssuer",
    "SkippedFile",
    "StepTimer",
    "StudyAnalysis",
    "StudyImage",
    "StudyOutcome",
    "analyse_instances",
]
