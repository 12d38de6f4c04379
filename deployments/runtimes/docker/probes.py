"""Lines of sh that try a port from inside a container, with a program that the image has; and what
the last probe of a container has answered."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from deployments.runtimes.base import SECRETS, one_line

HOST = "127.0.0.1"
MOST_LETTERS = 200  # of an answer
CUT_AT = 4096  # bytes: an engine keeps no more of what a probe writes
NOT_STARTED = -1  # the exit code of a probe that could not be
TOO_LONG = "Health check exceeded timeout ("  # of so long) and what it has written
LEAST_SECRET = 4  # letters; a shorter value is in many a harmless word
HIDDEN = "***"


def tcp(port: int) -> str:
    """Exits with 0 where a process listens."""
    return _first_of(
        ("nc", f"nc -w 1 {HOST} {port:d} </dev/null >/dev/null"),  # not every nc knows -z
        ("bash", f"bash -c ': </dev/tcp/{HOST}/{port:d}'"),
        ("python3", _python(f"import socket; socket.create_connection(('{HOST}', {port:d}))")),
    )


def http(port: int, path: str, timeout_s: int) -> str:
    """Exits with 0 where GET is answered with 200 to 399."""
    path = "/" + path.removeprefix("/")
    url = f"http://{HOST}:{port:d}{path}"
    send = f"printf 'GET %s HTTP/1.0\\r\\nHost: {HOST}\\r\\n\\r\\n' {shlex.quote(path)}"
    check = (
        '{ read -r _ status _; case "$status" in [23]??) exit 0;; '
        '[145][0-9][0-9]) echo "HTTP status $status";; esac; exit 1; }'
    )
    return _first_of(
        ("curl", f"curl -fsS -o /dev/null -m {timeout_s:d} {shlex.quote(url)}"),
        ("nc", f"{send} | nc -w {timeout_s:d} {HOST} {port:d} | {check}"),
        ("wget", f"wget -q -O /dev/null -T {timeout_s:d} {shlex.quote(url)}"),
        ("python3", _python(f"import urllib.request as r; r.urlopen({url!r})")),
    )


def _python(line: str) -> str:
    return f"python3 -c {shlex.quote(line)}"


def _first_of(*ways: tuple[str, str]) -> str:
    """Runs only the first program that the image has, so that one probe connects once."""
    tried = [f"if command -v {program} >/dev/null; then {line}; exit; fi" for program, line in ways]
    missing = ", ".join(program for program, _ in ways)
    return "; ".join([*tried, f"echo 'There is none of {missing} to try it with.'", "exit 1"])


def answer(inspected: Mapping[str, Any]) -> str:
    """Why a container's last probe has not passed: its status or exit code, and the last line that
    it wrote. Empty where it has passed, or there was none yet.

    What a probe writes may contain a secret. So values of variables are hidden in it, and where the
    container has secrets as files, the exit code is all that is said of a command.
    """
    log = (inspected["State"].get("Health") or {}).get("Log") or ()
    last: Mapping[str, Any] = log[-1] if log else {}
    code, output = int(last.get("ExitCode") or 0), str(last.get("Output") or "")
    if not code:
        return ""
    lines = output.strip().splitlines()
    line = lines[-1] if lines and len(output.encode()) < CUT_AT else ""
    if output.startswith(TOO_LONG):
        return output.partition(")")[0] + ")"
    config = inspected["Config"]
    of_user = ((config.get("Healthcheck") or {}).get("Test") or ("",))[0] == "CMD"
    if of_user and any(
        each.get("Destination") == SECRETS for each in inspected.get("Mounts") or ()
    ):
        line = ""
    line = one_line(_without_values(line, config.get("Env") or ()), MOST_LETTERS)
    if line and (not of_user or code == NOT_STARTED):
        return line
    return f"exit code {code}: {line}" if line else f"exit code {code}"


def _without_values(line: str, env: Iterable[str]) -> str:
    values = {part for each in env for part in each.partition("=")[2].splitlines()}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= LEAST_SECRET:
            line = line.replace(value, HIDDEN)
    return line
