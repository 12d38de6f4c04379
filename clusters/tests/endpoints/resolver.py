"""A resolver of names that needs no network."""

import socket
from collections.abc import Mapping, Sequence


def getaddrinfo(
    names: Mapping[str, Sequence[str]], host: str, port: object, **_: object
) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """Stands in for the system's, and knows these names alone."""
    is_address = host.replace(".", "").isdigit() or ":" in host
    if not is_address and host not in names:
        raise socket.gaierror(f"no such name: {host}")
    return [(0, 0, 0, "", (address, 0)) for address in ([host] if is_address else names[host])]
