"""URLs as they may be shown: in a terminal, a log or an error."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(://[^:@/;\s]*:)[^;\s]*@")
_PASSWORD_PARAMETER = re.compile(r"([?&](?:password|sslpassword)=)[^&;\s]*")


def masked_url(url: str) -> str:
    """Return the URL, or several joined by semicolons, with each password replaced by ***."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))
