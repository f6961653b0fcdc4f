"""Who issues results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from patchclip_core.values.definitions import FindingDefinition
from patchclip_core.values.wording import Wording
from patchclip_node.domain.records import ResultRecord
from patchclip_node.ports.uid_generator import UidGenerator
from patchclip_node.results import Predecessor, ResultContext


@dataclass(frozen=True, slots=True)
class ResultIssuer:
    """What all results of a node have in common: how they are named, whose they are and in which words they speak."""

    uids: UidGenerator
    station_name: str
    definitions: Mapping[str, FindingDefinition]
    wordings: Mapping[str, Wording]

    def context(self, revision: int, now: datetime, predecessors: Iterable[ResultRecord] = ()) -> ResultContext:
        """Return what the builders need for the results of a revision, made `now`. predecessors: what they name."""
        return ResultContext(
            revision=revision,
            uids=self.uids,
            now=now.astimezone(),  # results carry the local time of the place, as their sources do
            station_name=self.station_name,
            definitions=self.definitions,
            wordings=self.wordings,
            predecessors=tuple(
                Predecessor(
                    record.result.variant,
                    record.result.sop_class_uid,
                    record.result.sop_instance_uid,
                    record.result.series_instance_uid,
                )
                for record in predecessors
            ),
        )
