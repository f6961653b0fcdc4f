"""Patients who are none: of `doctor`'s test study, and of the canary."""

from __future__ import annotations

from typing import Final

from patchclip_node.domain.release import Release
from patchclip_node.domain.routes import Route, Routes

PATIENT_NAME: Final = "TEST^NOT A PATIENT"
"""Of both."""
TEST_ID: Final = "PATCHCLIP-TEST"
"""Patient ID of `doctor`'s test study."""
CANARY_ID: Final = "PATCHCLIP-CANARY"
"""Patient ID of the canary, which goes through the running node: its results are built, and go nowhere."""

CANARY_ROUTES: Final = Routes((Route("canary", release=Release.NEVER),))
"""What a canary goes by, whatever the site's routes say."""
