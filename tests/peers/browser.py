"""Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.pictures import Picture

_OPTIONS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # nothing outside this machine
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser for the time of the context."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, width: int, height: int) -> Iterator[tuple[Page, list[str]]]:
    """Open a page of this size in pixels; yields it and the errors that it raises from now on."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page, errors = context.new_page(), list[str]()
    page.set_default_timeout(60_000)  # on a busy machine, where it takes ten times as long as on an idle one
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        yield page, errors
    finally:
        context.close()


def picture_of(element: Locator) -> Picture:
    """Return what is seen of an element."""
    with Image.open(io.BytesIO(element.screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def settled_picture_of(
    element: Locator, is_complete: Callable[[Picture], bool] = lambda _: True, timeout_s: float = 20.0
) -> Picture:
    """Return what is seen once it is complete and has stopped changing; after the time, whatever is seen then."""
    end = time.monotonic() + timeout_s
    before = picture_of(element)
    while True:
        element.page.wait_for_timeout(150)
        now = picture_of(element)
        if time.monotonic() > end or (np.array_equal(before, now) and is_complete(now)):
            return now
        before = now
