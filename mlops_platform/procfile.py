"""The Procfile: the one place that says how each process of the platform is started.

`python -m mlops_platform.procfile worker` becomes that process, which is what a container does.
"""

import os
import re
import sys
from pathlib import Path

PROCFILE = Path(__file__).resolve().parent.parent / "Procfile"
LINE = re.compile(r"^(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)$")


def read_procfile(path: Path = PROCFILE) -> dict[str, str]:
    """Each process's name and shell command, in the file's order."""
    matches = (LINE.match(line) for line in path.read_text().splitlines())
    return {match["name"]: match["command"] for match in matches if match}


def argv(command: str) -> list[str]:
    """The command to execute. The shell expands the variables and then becomes the process, so
    that signals reach the process."""
    return ["/bin/sh", "-c", f"exec {command}"]


def main() -> None:
    """Become the process that the first argument names."""
    processes = read_procfile()
    if len(sys.argv) != 2 or sys.argv[1] not in processes:
        sys.exit(f"usage: python -m mlops_platform.procfile {{{','.join(processes)}}}")
    os.chdir(PROCFILE.parent)
    os.execv("/bin/sh", argv(processes[sys.argv[1]]))  # noqa: S606 - the shell is the point


if __name__ == "__main__":
    main()
