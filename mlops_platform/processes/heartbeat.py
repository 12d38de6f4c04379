"""The file by which a worker on this machine shows that it can take tasks.

`python -I mlops_platform/processes/heartbeat.py worker` asks whether the worker did so lately, for
a container's health check. Standard library only, and run as a file: nothing of the project is
imported, so the question costs a fiftieth of a second of CPU. The time is the machine's monotonic
clock, which all its processes share.
"""

import os
import sys
import time
from pathlib import Path

BEAT_S = 5.0
LATE_S = 45.0


def path(name: str) -> Path:
    return Path(os.environ.get("MLOPS_DATA_DIR") or ".data") / f"{name}-heartbeat"


def beat(name: str) -> None:
    """Write the present time. A full disk keeps no worker from its work."""
    try:
        path(name).write_text(f"{time.monotonic()}")
    except OSError:
        return


def is_alive(name: str) -> bool:
    try:
        age_s = time.monotonic() - float(path(name).read_text())
    except (OSError, ValueError):
        return False
    return 0 <= age_s <= LATE_S


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) == 2 and is_alive(sys.argv[1]) else 1)
