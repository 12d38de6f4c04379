"""Checks the links within the repository's Markdown: each names a file and a heading that exist.

Links to other hosts are left alone, for that takes a network.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+).+?\1")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(<?([^()\s>]+)>?(?: +\"[^\"]*\")?\)")
REFERENCE = re.compile(r"^\[[^\]]+\]: +(\S+)", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST name them."""
    text = FENCE.sub("", path.read_text())
    found: set[str] = set(re.findall(r"<a id=\"([^\"]+)\"", text))
    for heading in HEADING.findall(text):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        number, name = 0, slug
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def faults_of(page: Path) -> Iterator[str]:
    """Each link of a page that leads nowhere."""
    text = CODE.sub("", FENCE.sub("", page.read_text()))
    for link in [*LINK.findall(text), *REFERENCE.findall(text)]:
        if ELSEWHERE.match(link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = page.parent / name if name else page
        if not target.exists():
            yield f"{link} leads to no file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.resolve()):
            yield f"{link} leads to no heading"


def pages_of(root: Path) -> list[Path]:
    """The Markdown files that git does not ignore; without git, all but those that tools make."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or an export without its folder
        found = sorted(root.rglob("*.md"))
        return [page for page in found if not made_by_tools(page.relative_to(root))]
    return [page for name in listed.stdout.splitlines() if (page := root / name).exists()]


def made_by_tools(page: Path) -> bool:
    hidden = any(part.startswith(".") and part != ".github" for part in page.parts)
    return hidden or "_build" in page.parts or page.parts[:3] == ("docs", "reference", "rest")


def main(root: Path) -> int:
    """Prints each faulty link; the exit code."""
    pages = pages_of(root)
    faults = [f"{page.relative_to(root)}: {fault}" for page in pages for fault in faults_of(page)]
    print("\n".join([*faults, f"{len(pages)} pages, {len(faults)} faulty links"]))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
