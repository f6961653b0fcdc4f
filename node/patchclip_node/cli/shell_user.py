"""Who gives a command, for the audit trail."""

from __future__ import annotations

import os
import pwd

from patchclip_node.audit.events import person
from patchclip_node.audit.values import Actor


def shell_user() -> Actor:
    """Return the user of this process as the system knows it; no variable of the environment says who that is."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    return person(name)
