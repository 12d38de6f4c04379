"""The pages as such: links lead somewhere, paths and functions exist, no page is long, one word
names one thing.
"""

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from mlops_platform.tests.docs.documents import (
    DOCS,
    PAGES,
    README,
    WRITTEN,
    links,
    name_of,
    prose,
    section,
    table,
)
from mlops_platform.tests.equipment.plugin import REPOSITORY

ARCHITECTURE = "docs/explanation/architecture.md"
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def test_every_link_between_pages_leads_to_a_file_and_a_heading() -> None:
    """What `make lint` checks, so that the tests of a page are complete without it."""
    checker = [sys.executable, ".ci/links.py"]
    result = subprocess.run(checker, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@every_page
def test_every_path_in_backticks_exists(page: Path) -> None:
    paths = re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|toml|ini|ya?ml|md))`", page.read_text())
    folders = re.findall(r"`((?:[a-z_]+/)+)`", prose(page)) if page.is_relative_to(DOCS) else []
    folders = [folder for folder in folders if folder not in ("api/", "tests/")]  # of every app
    assert [path for path in [*paths, *folders] if not (REPOSITORY / path).exists()] == []


@every_page
def test_no_page_is_longer_than_400_lines(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 400


def test_the_readme_is_about_160_lines() -> None:
    assert 120 <= len(README.read_text().splitlines()) <= 180


def test_every_page_is_in_one_table_of_contents_and_linked_beside_it() -> None:
    """From the tables of contents the site is built, with the pages that it makes."""
    listed: list[Path] = []
    for index in (DOCS / "index.md", DOCS / "adr/index.md"):
        trees = re.findall(
            r"^```{toctree}\n(.*?)^```$", index.read_text(), re.DOTALL | re.MULTILINE
        )
        names = [line for tree in trees for line in tree.splitlines() if line and line[0] != ":"]
        pages = {index.parent / f"{name}.md" for name in names} - {DOCS / "reference/rest/index.md"}
        assert pages == {index.parent / path for path in links(index) if not path.startswith("..")}
        listed += pages
    assert sorted([DOCS / "index.md", *listed]) == WRITTEN


# Words of the code and of the public API, and those of capacity that the glossary replaced.
REPLACED = re.compile(
    r"\b(holds?|held|holders?|holding|told|whoever|whomever|somebody|nobody|everybody)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "CONTRIBUTING.md"],  # which shows what not to write
    ids=name_of,
)
def test_no_page_uses_a_word_that_the_glossary_replaced(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", prose(page))
    assert REPLACED.findall(text) == []


def test_every_term_of_the_glossary_is_explained_once_in_one_line() -> None:
    rows = re.findall(
        r"^\| (?!term|-)(.+?) \| (.+?) \|$",
        (DOCS / "reference/glossary.md").read_text(),
        re.MULTILINE,
    )
    terms = [term for names, _ in rows for term in names.split(", ")]
    assert len(set(terms)) == len(terms)
    assert len(terms) > 60
    assert all(len(meaning) <= 120 for _, meaning in rows)


# --- Architecture ----------------------------------------------------------------------------


def stations() -> list[tuple[str, str]]:
    """(file, function) of each station on the way from POST to RUNNING."""
    text = section(ARCHITECTURE, "From POST to RUNNING in twelve stations")
    return re.findall(r"^\d+\. `([\w/]+\.py)`, `(\w+)`:", text, re.MULTILINE)


def test_from_post_to_running_there_are_at_most_twelve_stations() -> None:
    text = section(ARCHITECTURE, "From POST to RUNNING in twelve stations")
    numbers = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(stations()) + 1))
    assert len(numbers) <= 12


@pytest.mark.parametrize(("file", "function"), stations())
def test_every_station_is_a_function_of_its_file(file: str, function: str) -> None:
    tree = ast.parse((REPOSITORY / file).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_app_and_package_of_the_tree_is_in_the_table() -> None:
    named = {row[0].strip("`") for row in table(ARCHITECTURE, "folder")}
    assert all((REPOSITORY / folder).is_dir() for folder in named)
    apps = {f"{path.parent.name}/" for path in REPOSITORY.glob("*/__init__.py")}
    assert apps <= named


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (DOCS / "adr").glob("[0-9]*.md"))
    numbers = [int(name[:4]) for name in names]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert numbers[0] == 1
