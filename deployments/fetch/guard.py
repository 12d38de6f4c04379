"""Keeps the program from addresses at which a tenant may have nothing."""

import ipaddress
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clusters.endpoints import address_kinds

_refused: list[str] = []
_thread = threading.local()  # `is_trusted` while it asks a server that an operator has given


def refused() -> str:
    """Why a connection was refused here, as a sentence; empty where none was."""
    return _refused[-1] if _refused else ""


def forbid_addresses_of_others(ranges: Sequence[str]) -> None:
    """From now on no connection of this process reaches such an address, whichever name led to it,
    but for those of a thread that asks a server which an operator has given.

    An audit hook sees each address that Python connects to, and cannot be taken away.
    """
    networks = [ipaddress.ip_network(each) for each in ranges]

    def judge(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect" or getattr(_thread, "is_trusted", False):
            return
        address = arguments[1]
        given = address_kinds.parsed(str(address[0])) if isinstance(address, tuple) else None
        why = "no IP address"
        if given is not None:
            kind = address_kinds.forbidden_kind(given)
            in_range = address_kinds.is_in_range(given, networks)
            why = kind or ("" if in_range else address_kinds.OUTSIDE)
        if why:
            _refused.append(f"Its server is at {why}, where only an operator may have one.")
            raise OSError(_refused[-1])

    sys.addaudithook(judge)


@contextmanager
def asking(*, judged: bool) -> Iterator[None]:
    """Connections that this thread makes meanwhile are to a server that a tenant has given
    (`judged`), or an operator."""
    _thread.is_trusted = not judged
    try:
        yield
    finally:
        _thread.is_trusted = False
