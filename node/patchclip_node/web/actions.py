"""What can be done with a study on its page: one row for each act. The page shows those that a visitor may do now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from patchclip_node.domain.accounts import Act
from patchclip_node.domain.states import FINAL_STATES, StudyState


@dataclass(frozen=True, slots=True)
class StudyAction:
    """name: on its button. path: below the study's address, of a page that asks first. states: in which it can be."""

    name: str
    act: Act
    path: str
    states: Collection[StudyState]

    def address(self, study_instance_uid: str) -> str:
        """Return where the button leads."""
        return f"/studies/{quote(study_instance_uid)}/{self.path}"


_SENT: Final = (StudyState.RETURNED, StudyState.PARTLY_RETURNED, StudyState.FAILED)

ACTIONS: Final = (
    StudyAction("Analyse again", Act.WORK_AGAIN, "again?how=requeue", FINAL_STATES),
    StudyAction("Send again", Act.WORK_AGAIN, "again?how=resend", _SENT),
    StudyAction(
        "Recall results", Act.RECALL, "recall", (StudyState.ANALYSED, StudyState.RETURNING, StudyState.HELD, *_SENT)
    ),
)

__all__ = ["ACTIONS", "StudyAction"]
