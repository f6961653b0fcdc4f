"""What a browser would load for a page."""

from __future__ import annotations

from html.parser import HTMLParser


def loaded_by(html: str) -> list[str]:
    """Return the sources of a page's pictures, scripts and style sheets, in their order."""
    sources = _Sources()
    sources.feed(html)
    return sources.found


class _Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]
