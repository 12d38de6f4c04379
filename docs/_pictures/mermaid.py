"""Draws the Mermaid blocks of the pages into docs/images/drawings/: `make pictures`.

The site then shows them without loading Mermaid (see docs/_extensions/drawings.py). Mermaid itself
comes from npm into `.data/mermaid`, and runs in a Chromium that is on PATH.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs/_extensions"))

from drawings import FOLDER, picture_of  # noqa: E402 - its folder is on the path from here on

VERSION = "12.3.0"
TOOL = ROOT / ".data/mermaid"
BLOCK = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
# Plain text labels instead of HTML ones: a picture may contain no HTML.
OPTIONS = {
    "startOnLoad": False,
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False},
    "theme": "neutral",
}


def script() -> Path:
    """Mermaid's script, fetched once."""
    npm = shutil.which("npm")
    path = TOOL / f"node_modules/mermaid-{VERSION}.js"
    if not path.exists():
        if npm is None:
            sys.exit("No npm on PATH, which fetches Mermaid (Debian: apt install npm).")
        install = [npm, "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run([*install, "--prefix", TOOL, f"mermaid@{VERSION}"], check=True)
        shutil.copy(TOOL / "node_modules/mermaid/dist/mermaid.min.js", path)
    return path


def main() -> None:
    """Draws what has no picture yet, and removes the pictures that no page shows any more."""
    folder = ROOT / "docs" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    pages = (p for p in ROOT.glob("docs/**/*.md") if "_build" not in p.parts)
    blocks = {picture_of(text): text for p in pages for text in BLOCK.findall(p.read_text())}
    for old in folder.glob("*.svg"):
        if old.name not in blocks:
            old.unlink()
    missing = {name: text for name, text in blocks.items() if not (folder / name).exists()}
    if not missing:
        return
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("No chromium on PATH (Debian: apt install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page()
        page.add_script_tag(path=script())
        page.evaluate("options => mermaid.initialize(options)", OPTIONS)
        for name, text in missing.items():
            drawn = page.evaluate("async text => (await mermaid.render('drawing', text)).svg", text)
            (folder / name).write_text(drawn + "\n")
        browser.close()


if __name__ == "__main__":
    main()
