"""Who gives a command at this machine."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from patchclip_node.domain.configuration import Person

_NOBODY_LOGGED_IN: Final = 2**32 - 1
"""What the kernel says of a process that no login began, such as a service's (proc_pid_loginuid(5))."""


def who_runs_this() -> Person:
    """Return who logged in, and the user of this process.

    The login is the kernel's, which follows a person through sudo and su. Where it knows none, root is taken at sudo's
    word; no other user is, whose environment says what they want it to.
    """
    user = _name(os.getuid())
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = _NOBODY_LOGGED_IN
    if login != _NOBODY_LOGGED_IN:
        return Person(_name(login), user)
    return Person(os.environ.get("SUDO_USER") or user, user) if os.getuid() == 0 else Person(user, user)


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
