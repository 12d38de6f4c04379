"""Reads the Markdown pages: those of the root, and everything below `docs/`."""

import re
from pathlib import Path

from mlops_platform.tests.equipment.plugin import REPOSITORY

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
MADE = (DOCS / "_build", DOCS / "reference/rest")  # by `make docs`, not part of the repository
WRITTEN = [page for page in sorted(DOCS.rglob("*.md")) if not set(MADE) & set(page.parents)]
PAGES = [*sorted(REPOSITORY.glob("*.md")), *WRITTEN]
FENCE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """`docs/reference/states.md`: what a test's id shows."""
    return page.relative_to(REPOSITORY).as_posix()


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text())


def links(page: Path) -> set[str]:
    """The paths of the page's links into the repository."""
    return set(re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", prose(page)))


def section(page: str, title: str) -> str:
    """The text below a heading, up to the next of any level."""
    found = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)",
        (REPOSITORY / page).read_text(),
        re.DOTALL | re.MULTILINE,
    )
    assert found is not None, f"{page} has no section {title!r}."
    return found[1]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of each row of the page's one table whose first column is called `heading`."""
    text = (REPOSITORY / page).read_text()
    found = re.findall(
        rf"^\| {re.escape(heading)} \|.*\n\|[-|: ]+\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    assert len(found) == 1, f"{page} has {len(found)} tables of {heading!r}."
    rows = re.sub(r"`[^`\n]*`", lambda code: code[0].replace("|", "\0"), found[0]).splitlines()
    return [
        [cell.strip().replace("\0", "|") for cell in row.strip().strip("|").split("|")]
        for row in rows
    ]


def named(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def first_column(page: str, heading: str) -> list[str]:
    """The names in the first column, in backticks, of all rows."""
    return [name for row in table(page, heading) for name in named(row[0])]
