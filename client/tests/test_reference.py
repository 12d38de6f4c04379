"""The reference of the commands says what the commands say, and the how-to what works."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import yaml
from mlops_platform.tests.docs.documents import first_column

from mlops import jobs
from mlops.cli.main import MODULES, app

CLIENT = Path(__file__).resolve().parents[1]
HOW_TO = CLIENT.parent / "docs/how-to/command-line.md"


def test_the_tables_are_those_of_the_commands() -> None:
    made = runpy.run_path(str(CLIENT / "reference.py"))
    assert made["PAGE"].read_text().endswith(made["tables"]()), "type: make reference"


def test_every_exit_code_is_explained() -> None:
    explained = re.findall(
        r"^\| (\d+) \|", (CLIENT.parent / "docs/reference/cli.md").read_text(), re.MULTILINE
    )
    assert [int(code) for code in explained] == [0, 1, 2, 3, 4, 5, 130]


def test_every_variable_is_explained() -> None:
    sources = "".join(path.read_text() for path in (CLIENT / "src").rglob("*.py"))
    read = set(re.findall(r"\"(MLOPS_[A-Z]+)\"", sources))
    assert read <= set(first_column("docs/reference/cli.md", "variable"))


def test_the_how_to_uses_commands_and_options_that_there_are() -> None:
    context = click.Context(app, info_name="mlops")
    lines = re.findall(r"mlops ((?:[a-z]+)(?: [^`#|\n]*)?)", _code(HOW_TO.read_text()))
    assert len(lines) > 40
    for line in lines:
        name, *rest = line.split()
        assert name in MODULES or name == "import", line
        command = app.get_command(context, name) if name in MODULES else None
        if command is not None and not isinstance(command, click.Group):
            known = {option for param in command.params for option in param.opts}
            before = rest[: rest.index("--")] if "--" in rest else rest
            for word in before:
                if re.fullmatch(r"--[a-z-]+", word):
                    assert word in known | {"--help"}, line


def test_the_job_files_of_the_how_to_are_read() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)
    whole, part = (yaml.safe_load(block) for block in blocks)
    assert jobs.of_mapping(whole).body["required_gpu"] == 2
    sweep = jobs.of_mapping({**whole, **part}).sweep
    assert sweep is not None
    assert sweep["max_parallel"] == 2


def _code(text: str) -> str:
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(blocks + re.findall(r"`(mlops [^`]*)`", text))
