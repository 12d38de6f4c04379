"""A real Chromium that records of each page its requests, its errors and its refused calls."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
TIMEOUT_MS = 30_000


@dataclass
class Visit:
    """One page, what it asked for, and what it complained about."""

    page: "Page"
    server: str
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self._heard(line.type, line.text))

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def open(self, path: str) -> None:
        self.page.goto(self.server + path)

    def check(self, refused: int = 0) -> None:
        """Nothing came from elsewhere, nothing went wrong, and so many calls were refused."""
        assert self.hosts <= {urlsplit(self.server).netloc, ""}  # "": data: and blob: addresses
        expected = [line for line in self.complaints if "the server responded with" in line]
        assert self.complaints == expected
        assert len(expected) == refused


@pytest.fixture
def visit(server: str) -> Iterator[Visit]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("No chromium on PATH, and CI must not go without.")
        pytest.skip("no chromium on PATH (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright  # slow to import, and not needed when skipped

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = launched.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(TIMEOUT_MS)
        yield Visit(page, server)
        launched.close()
