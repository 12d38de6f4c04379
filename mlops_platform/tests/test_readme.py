"""The README is kept: its walk-through is walked on the real platform, its tables are compared with
the code, its links lead somewhere.
"""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from deployments.models import Status
from deployments.reasons import SENTENCES
from deployments.runtimes.base import Code as Trouble
from mlops_platform.tests.plugin import REPOSITORY
from mlops_platform.tests.test_run import Run
from organizations.models import Role
from scheduler.engine.reasons import Code

README = REPOSITORY / "README.md"
ADDRESS = "127.0.0.1:8000"  # in the README; the test's platform has a port of its own
WALK_TIMEOUT_S = 300
BORDER = "--- end of block ---"

# --- The walk-through ------------------------------------------------------------------------


class Step(NamedTuple):
    """Commands of the walk-through, and what the README says that they print."""

    line: int
    commands: str
    output: str


def section(title: str) -> tuple[str, int]:
    """The text below a heading of the second level, and its first line's number."""
    text = README.read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"The README has no section {title!r}."
    return found[1], text.count("\n", 0, found.start(1)) + 1


def steps() -> list[Step]:
    """Each ```sh block with the ```console block that follows it, if one does."""
    text, first_line = section("A walk-through")
    blocks = list(re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    found: list[Step] = []
    for block in blocks:
        kind, body = block.groups()
        if kind == "sh":
            found.append(Step(first_line + text.count("\n", 0, block.start()), body, ""))
        else:
            assert kind == "console", kind
            assert found, "output before any command"
            assert not found[-1].output, "two outputs of one block"
            found[-1] = found[-1]._replace(output=body)
    return found


class Normalizer:
    """Replaces what differs from run to run. Ids and times become `id-1`, `time-2`, … in the order
    in which they first appear, so that what is said to be the same must stay the same.
    """

    UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
    TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
    ANYTHING = (
        (re.compile(r'(_invite_code": )"[\w-]{24}"'), r'\1"code"'),
        (re.compile(r'(_ms": )[\d.]+'), r"\1ms"),
        (re.compile(r'(lost_s": )\d+'), r"\1s"),
        (re.compile(r'(cost": )[\d.]+'), r"\1cost"),
        (re.compile(r"losing \d+ s of work"), "losing s of work"),
    )

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {"id": {}, "time": {}}

    def __call__(self, text: str) -> str:
        text = self._numbered("id", self.UUID, text)
        text = self._numbered("time", self.TIME, text)
        for pattern, replacement in self.ANYTHING:
            text = pattern.sub(replacement, text)
        return text.strip()

    def _numbered(self, kind: str, pattern: re.Pattern[str], text: str) -> str:
        seen = self._seen[kind]
        return pattern.sub(lambda m: seen.setdefault(m[0], f"{kind}-{len(seen) + 1}"), text)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Run]:
    """The platform as `make run` starts it, on a free port, with data of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    run = Run(tmp_path / "data", port)
    try:
        run.wait_until_it_runs()
        yield run
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGINT)
        print(f"--- the platform ---\n{run.output}")  # noqa: T201 - pytest shows it on failure


def walk(walked: list[Step], platform: Run, data_dir: Path) -> list[str]:
    """Type all commands into one bash, from the README's folder; what each block printed."""
    script = "set -euo pipefail\n" + "".join(f"{step.commands}echo '{BORDER}'\n" for step in walked)
    script = script.replace(ADDRESS, f"127.0.0.1:{platform.port}")
    script = script.replace(".venv/bin/python", sys.executable)
    embedded = {"MLOPS_DATA_DIR": str(data_dir), "DATABASE_URL": "", "REDIS_URL": ""}
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, **embedded},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WALK_TIMEOUT_S,
        check=False,
    )
    outputs = result.stdout.split(f"{BORDER}\n")
    failed = walked[min(len(outputs), len(walked)) - 1]
    assert result.returncode == 0, f"line {failed.line}: {outputs[-1]}\n{result.stderr}"
    assert result.stderr == ""
    return outputs[:-1]


@pytest.mark.e2e
def test_the_walk_through_goes_as_the_readme_says(platform: Run, tmp_path: Path) -> None:
    walked = steps()
    printed = walk(walked, platform, tmp_path / "data")
    said_form, printed_form = Normalizer(), Normalizer()
    for step, output in zip(walked, printed, strict=True):
        said, found = said_form(step.output), printed_form(output)
        assert found == said, f"README line {step.line} printed:\n{output}"


def test_the_walk_through_has_commands_and_answers() -> None:
    walked = steps()
    assert len(walked) > 10
    assert all(step.output for step in walked[1:])  # the first defines functions
    assert any("preemption_count" in step.output for step in walked)


# --- The tables ------------------------------------------------------------------------------


def table(title: str, heading: str) -> dict[str, str]:
    """The table below `heading` whose first column is in backticks: name -> the next column."""
    text, _ = section(title)
    lines = iter(text.splitlines())
    assert any(line.startswith(f"| {heading} |") for line in lines), f"no table of {heading}"
    next(lines)
    rows = {}
    for line in lines:
        if not line.startswith("| `"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0].strip("`")] = cells[1]
    return rows


def test_every_reason_is_explained() -> None:
    told = [
        code.strip("`")
        for cell in table("How the scheduler decides", "code")
        for code in cell.split("`, `")
    ]
    assert len(set(told)) == len(told)
    assert set(told) == SENTENCES.keys()
    assert set(Code) | set(Trouble) <= set(told)


def test_every_state_is_explained() -> None:
    assert list(table("How the scheduler decides", "status")) == list(Status.values)


def test_every_role_is_explained() -> None:
    assert set(table("Who may do what", "role in the organization")) == set(Role.values)


def test_every_variable_is_explained_with_its_default() -> None:
    read = variables()
    told = table("Configuration", "variable")
    assert sorted(told) == sorted(read)
    for name, default in read.items():
        if default is not None:
            assert told[name].strip("`") == default, name


# What a process is told by whoever starts it, rather than by whoever configures the platform.
NOT_SETTINGS = {"PATH", "DJANGO_SETTINGS_MODULE"}
# `env` is what functions call the environment that they are given.
GETTERS = ("os.environ.get", "os.environ.setdefault", "os.getenv", "env.get")


def variables() -> dict[str, str | None]:
    """Every environment variable that the code reads, and its default where that is a literal."""
    found: dict[str, str | None] = {}
    for path in programs():
        for name, default in reads(ast.parse(path.read_text())):
            found[name] = found.get(name) or default
    for file, pattern in (("Procfile", r"\$\{?([A-Z_]+)"), ("compose.yaml", r"\$\{([A-Z_]+)")):
        for name in re.findall(pattern, (REPOSITORY / file).read_text()):
            found.setdefault(name, None)
    return {name: default for name, default in found.items() if name not in NOT_SETTINGS}


def programs() -> Iterator[Path]:
    """The platform's own Python files: neither tests nor measurements nor what was made."""
    apps = [path.parent for path in REPOSITORY.glob("*/__init__.py")]
    for path in [REPOSITORY / "manage.py", *(path for app in apps for path in app.rglob("*.py"))]:
        if "tests" not in path.parts and path.name != "testing.py":
            yield path


def reads(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """(name, default) of each read, also in a function that is given the name."""
    for key, default in accesses(tree, *GETTERS):
        if isinstance(key, ast.Constant):
            yield str(key.value), literal(default)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        parameters = {argument.arg for argument in function.args.args}
        if parameters & {ast.unparse(key) for key, _ in accesses(function, *GETTERS)}:
            for key, default in accesses(tree, function.name):
                yield str(ast.literal_eval(key)), literal(default) or ""


def accesses(tree: ast.AST, *functions: str) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """The key and the default of each call of these functions, and of each `os.environ[…]`.

    The default is the second argument, or what stands behind an `or`.
    """
    behind_or = {
        id(node.values[0]): node.values[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in functions:
            yield node.args[0], node.args[1] if len(node.args) > 1 else behind_or.get(id(node))
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield node.slice, None


def literal(node: ast.expr | None) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None


# --- The rest --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [README, REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))],
    ids=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    paths = re.findall(r"`([\w.]+(?:/[\w.]+)+\.(?:py|toml|ini|yaml))`", text)
    assert [link for link in links if not (document.parent / link).exists()] == []
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_every_command_of_make_is_named() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    assert targets - {"help"} == set(re.findall(r"`make ([a-z]+)", section("Development")[0]))


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (REPOSITORY / "docs/adr").glob("[0-9]*.md"))
    numbers = [int(name[:4]) for name in names]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert numbers[0] == 1
