"""Draws the picture of the command line in the README: `make pictures`.

Starts the platform on a data folder of its own, lets two users submit, and draws what `mlops ps`
and `mlops why` print on a terminal of 100 columns.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/images/cli.svg"
COLUMNS = 100
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a platform that lives for this picture alone
IMAGE = "registry.example.com/lab/train:1.2"
AMOUNTS = ("--cpu", "4", "--ram", "32Gi")
# rich's template loads a font from elsewhere; a picture in a repository loads nothing.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Shell:
    """Calls `mlops` as one user."""

    def __init__(self, folder: str, user: str) -> None:
        self._variables = {
            "MLOPS_CONFIG": f"{folder}/{user}.json",
            "PYTHONPATH": str(ROOT / "client/src"),
            "COLUMNS": str(COLUMNS),
            "FORCE_COLOR": "1",
        }

    def __call__(self, *arguments: str, typed: str = "") -> str:
        command = [sys.executable, "-m", "mlops", *arguments]
        environment = {**os.environ, **self._variables}
        ran = subprocess.run(
            command, env=environment, input=typed, capture_output=True, text=True, check=True
        )
        return ran.stdout


def story(address: str) -> list[tuple[str, str]]:
    """Commands, and what each printed."""
    with tempfile.TemporaryDirectory(prefix="mlops-pictures-") as folder:
        hedy, george = Shell(folder, "hedy"), Shell(folder, "george")
        login = ("login", address, "--register", "--password-stdin", "-u")
        hedy(*login, "hedy", typed=f"{PASSWORD}\n")
        hedy("orgs", "create", "Frequency Hoppers")
        hedy("clusters", "create", "gpu-west", "--gpu", "8", "--cpu", "64", "--ram", "512Gi")
        hedy("use", "gpu-west")
        code = json.loads(hedy("invite", "DEVELOPER", "-o", "json"))["token"]
        george(*login, "george", "--invite", code, typed=f"{PASSWORD}\n")
        george("use", "gpu-west")
        hedy("run", "-d", "--name", "nightly", "-g", "6", "--time-limit", "2h", *AMOUNTS, IMAGE)
        george("run", "-d", "--name", "eval", "-g", "2", *AMOUNTS, IMAGE)
        time.sleep(2)
        george("run", "-d", "--name", "ablation-heads", "-g", "4", *AMOUNTS, IMAGE)
        hedy("run", "-d", "--name", "notebook", "-g", "2", *AMOUNTS, IMAGE)
        time.sleep(4)
        return [(words, hedy(*words.split())) for words in ("ps", "why notebook")]


def draw(shown: list[tuple[str, str]]) -> None:
    console = Console(
        record=True,
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        file=io.StringIO(),
    )
    for words, output in shown:
        console.print(Text(f"$ mlops {words}", style="bold"))
        console.print(Text.from_ansi(output))
    svg = console.export_svg(title="mlops", unique_id="cli")
    PICTURE.write_text("\n".join(line.rstrip() for line in FONTS.sub("", svg).splitlines()) + "\n")


def main() -> None:
    if sys.argv[1:]:
        draw(story(sys.argv[1]))
        return
    sys.path.insert(0, str(Path(__file__).parent))
    from admin import platform  # beside this file; it needs a browser's library

    with platform() as (address, _):
        draw(story(address))


if __name__ == "__main__":
    main()
