"""Lines of sh that try a port from inside a container, with a program that the image has."""

import shlex

HOST = "127.0.0.1"


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
    check = '{ read -r _ status _; case "$status" in [23]??) exit 0;; esac; exit 1; }'
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
