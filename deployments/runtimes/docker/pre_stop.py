"""Runs a container's pre-stop command, as the kubelet does for `lifecycle.preStop`.

The engine has no such thing: a shell inside the container runs the command, and then sends the stop
signal to the container's init, which passes it on. So a worker that is killed meanwhile delays
nothing. In an image without a shell the signal comes at once.
"""

import json
import re
import signal
from collections.abc import Sequence
from typing import Any

from deployments.runtimes.docker.client import Answered, Engine

LABEL = "mlops-platform.pre_stop"
NAME = "mlops-pre-stop"  # $0 of the shell, by which one that runs is known
FIRST_REALTIME = 34  # of the C libraries: the kernel's first two are their own
_REALTIME = re.compile(r"RTMIN(?:\+(\d{1,2}))?")


def labels_of(command: Sequence[str]) -> dict[str, str]:
    return {LABEL: json.dumps(list(command))} if command else {}


def begin(engine: Engine, container: dict[str, Any]) -> bool:
    """Start the command, which the stop signal follows; False where the container has none, or
    cannot run it: then the signal is the caller's to send. One that runs already goes on."""
    label = (container["Config"].get("Labels") or {}).get(LABEL)
    if not label:
        return False
    number = number_of(container["Config"].get("StopSignal") or "SIGTERM")
    script = f'"$@"; kill -{number} 1'
    try:
        if any(_is_ours(engine, exec_id) for exec_id in container.get("ExecIDs") or ()):
            return True
        shell = ["sh", "-c", script, NAME, *json.loads(label)]
        created = engine.call(
            lambda client: client.exec_create(container["Id"], shell, stdout=False, stderr=False)
        )
        engine.call(lambda client: client.exec_start(created["Id"], detach=True))
    except Answered:  # no shell in the image, a container that has ended or is paused
        return False
    return True


def number_of(name: str) -> int:
    """The number of a signal as images name it: SIGTERM, TERM, 15 or SIGRTMIN+3. SIGTERM for what
    is none."""
    short = name.upper().removeprefix("SIG")
    if realtime := _REALTIME.fullmatch(short):
        return FIRST_REALTIME + int(realtime[1] or 0)
    if short.isdecimal():
        return int(short)
    known = signal.Signals.__members__
    return known.get(f"SIG{short}", signal.SIGTERM).value


def _is_ours(engine: Engine, exec_id: str) -> bool:
    found: dict[str, Any] = engine.call(lambda client: client.exec_inspect(exec_id))
    arguments = (found.get("ProcessConfig") or {}).get("arguments") or ()
    return bool(found.get("Running")) and NAME in arguments
