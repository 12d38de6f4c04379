"""What README and tutorials type into bash, typed into bash: on the platform as `make run` starts
it, with the answers that the pages show.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from mlops_platform.tests.docs.documents import DOCS, README, name_of
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.running.test_run import Run

TUTORIALS = [
    DOCS / f"tutorials/{name}.md" for name in ("walk-through", "preemption", "experiments", "drain")
]
COMMAND_LINE = DOCS / "tutorials/command-line.md"
ADDRESS = "127.0.0.1:8000"  # on the pages; the test's platform has a port of its own
WALK_TIMEOUT_S = 300
BORDER = "--- end of block ---"
COMMAND = (
    f'mlops() {{ PYTHONPATH={REPOSITORY}/client/src {shlex.quote(sys.executable)} -m mlops "$@"; }}'
)
"""The command as it is installed, out of the checkout."""


class Step(NamedTuple):
    """Commands of a page, and what the page says that they print."""

    place: str
    commands: str
    output: str


def steps(pages: Sequence[Path]) -> list[Step]:
    """Each ```sh block with the ```console block that follows it, if one does."""
    found: list[Step] = []
    for page in pages:
        text = page.read_text()
        for block in re.finditer(r"^```(sh|console)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            kind, body = block.groups()
            if kind == "sh":
                line = text.count("\n", 0, block.start()) + 1
                found.append(Step(f"{name_of(page)}:{line}", body, ""))
            else:
                assert found, "output before any command"
                assert not found[-1].output, f"two outputs of {found[-1].place}"
                found[-1] = found[-1]._replace(output=body)
    return found


class Normalizer:
    """Replaces what differs from run to run. Ids and times become `id-1`, `time-2`, … in the order
    in which they first appear, so that equal values must stay equal.
    """

    UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
    BEGINNING = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}\b")  # of an id, as the command line has it
    TIME = re.compile(r"\b\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?Z| \d\d:\d\d:\d\d UTC)")
    ANYTHING = (
        (re.compile(r'(_invite_code": )"[\w-]{24}"'), r'\1"code"'),
        (re.compile(r'(_ms": )[\d.]+'), r"\1ms"),
        (re.compile(r'((?:lost|lost_gpu|running)_s": )\d+'), r"\1s"),
        (re.compile(r'(cost": )[\d.]+'), r"\1cost"),
        (re.compile(r"losing \d+ s of work"), "losing s of work"),
        (re.compile(r" +\d+s\b"), " age"),
    )

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {"id": {}, "beginning": {}, "time": {}}

    def __call__(self, text: str) -> str:
        text = self._numbered("id", self.UUID, text)
        text = self._numbered("beginning", self.BEGINNING, text)
        text = self._numbered("time", self.TIME, text)
        for pattern, replacement in self.ANYTHING:
            text = pattern.sub(replacement, text)
        return text.strip()

    def _numbered(self, kind: str, pattern: re.Pattern[str], text: str) -> str:
        seen = self._seen[kind]
        return pattern.sub(lambda m: seen.setdefault(m[0], f"{kind}-{len(seen) + 1}"), text)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walks") / "data"


@pytest.fixture(scope="module")
def platform(data_dir: Path) -> Iterator[Run]:
    """The platform as `make run` starts it, on a free port, with data of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    run = Run(data_dir, port)
    try:
        run.wait_until_it_runs()
        yield run
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGINT)
        print(f"--- the platform ---\n{run.output}")  # noqa: T201 - pytest shows it on failure


def walk(walked: list[Step], platform: Run, data_dir: Path) -> list[str]:
    """Type all commands into one bash, from the repository's folder; what each block printed."""
    script = "set -euo pipefail\n" + "".join(f"{step.commands}echo '{BORDER}'\n" for step in walked)
    script = script.replace(ADDRESS, f"127.0.0.1:{platform.port}")
    script = f"{COMMAND}\n" + script.replace(".venv/bin/python", sys.executable)
    embedded = {"MLOPS_DATA_DIR": str(data_dir), "DATABASE_URL": "", "REDIS_URL": ""}
    embedded["MLOPS_CONFIG"] = str(data_dir / "profiles.json")
    environment = {**os.environ, **embedded}
    environment.pop("COLUMNS", None)  # which another test may have left
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=REPOSITORY,
        env={
            name: value for name, value in {**os.environ, **embedded}.items() if name != "COLUMNS"
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WALK_TIMEOUT_S,
        check=False,
    )
    outputs = result.stdout.replace(f"127.0.0.1:{platform.port}", ADDRESS).split(f"{BORDER}\n")
    failed = walked[min(len(outputs), len(walked)) - 1]
    assert result.returncode == 0, f"{failed.place}: {outputs[-1]}\n{result.stderr}"
    assert result.stderr == ""
    return outputs[:-1]


@pytest.mark.e2e
@pytest.mark.parametrize("pages", [[README, COMMAND_LINE], TUTORIALS], ids=["readme", "tutorials"])
def test_what_the_pages_type_prints_what_they_show(
    pages: list[Path], platform: Run, data_dir: Path
) -> None:
    walked = steps(pages)
    printed = walk(walked, platform, data_dir)
    shown_form, printed_form = Normalizer(), Normalizer()
    for step, output in zip(walked, printed, strict=True):
        shown, found = shown_form(step.output), printed_form(output)
        assert found == shown, f"{step.place} printed:\n{output}"


def test_the_readme_types_five_commands_to_a_deployment_and_shows_all_answers() -> None:
    first, *answers = steps([README])
    words = ("login", "orgs create", "clusters create", "use", "run")
    for word in words:
        assert len(re.findall(rf"\bmlops {word} ", first.commands)) == 1
    assert len(answers) == 3
    assert all(step.output for step in [first, *answers])


def test_the_tutorials_have_commands_and_answers() -> None:
    walked = steps(TUTORIALS)
    assert len(walked) > 10
    assert all(step.output for step in walked[1:])  # the first defines functions
    assert any("preemption_count" in step.output for step in walked)
