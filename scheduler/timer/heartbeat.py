"""The file by which a timer on this machine shows that it takes its turns.

`python -m scheduler.timer.heartbeat` asks whether it did so lately, for a container's health check.
Standard library only, so that the question is cheap. The time is the machine's monotonic clock,
which all its processes share.
"""

import os
import sys
import time
from pathlib import Path

LATE_S = 30.0


def path() -> Path:
    return Path(os.environ.get("MLOPS_DATA_DIR") or ".data") / "timer-heartbeat"


def beat() -> None:
    """Write the present time. A full disk keeps no timer from its work."""
    try:
        path().write_text(f"{time.monotonic()}")
    except OSError:
        return


def is_alive() -> bool:
    try:
        age_s = time.monotonic() - float(path().read_text())
    except (OSError, ValueError):
        return False
    return 0 <= age_s <= LATE_S


if __name__ == "__main__":
    sys.exit(0 if is_alive() else 1)
