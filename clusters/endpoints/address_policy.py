"""Refuses addresses for tenants' endpoints: those of this host, link-local ones, and those at which
clouds give out credentials.

Private ranges are allowed: GPU machines have such addresses. TENANT_ENDPOINT_RANGES may narrow that
to some ranges, and widens nothing. A host name is judged by every address
that it resolves to; later the runtimes judge each connection by the address that it has reached.
"""

import errno
import socket
import threading
from functools import cache

from django.conf import settings

from clusters.endpoints import address_kinds

RESOLVE_TIMEOUT_S = 3.0
MOST_LOOKUPS = 32  # in each process
_lookups = threading.BoundedSemaphore(MOST_LOOKUPS)

_NOT_ASSIGNED = "198.51.100.213"  # reserved for documentation: no interface has it


class Unresolvable(Exception):  # noqa: N818 - a property of a name, not a mistake
    """The name has no address, or none was found in time."""


def refusal(address: str) -> str | None:
    """Why a tenant's endpoint may not lead to this IP address; None where it may."""
    given = address_kinds.parsed(address)
    if given is None:
        return f"{address[:60]!r} is no IP address."
    kind = address_kinds.forbidden_kind(given)
    if kind is None and any(_is_own(str(each)) for each in address_kinds.meant(given)):
        kind = "an address of this host"
    if kind is None and not address_kinds.is_in_range(given, settings.TENANT_ENDPOINT_RANGES):
        kind = address_kinds.OUTSIDE
    return kind and f"{address} is {kind}, where only an operator may attach."


def resolve(host: str, timeout_s: float = RESOLVE_TIMEOUT_S) -> list[str]:
    """All addresses of a host name, or the address itself; raises Unresolvable.

    The system's resolver has no timeout, so it runs on a thread that is abandoned after
    `timeout_s`. A name whose server never answers occupies such a thread for long, so there are
    MOST_LOOKUPS at most; beyond, no name resolves until one of them ends.
    """
    found: list[str] = []
    if not _lookups.acquire(blocking=False):
        raise Unresolvable(host)

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        finally:
            _lookups.release()
        found.extend(dict.fromkeys(str(address[0]) for *_, address in answers))

    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not found:
        raise Unresolvable(host)
    return found


def _is_own(address: str) -> bool:
    """Whether an interface of this host has the address: only then can a socket be bound to it."""
    return _can_bind(address) and not _can_bind_anything()


@cache
def _can_bind_anything() -> bool:
    """Some hosts allow binding to any address (`ip_nonlocal_bind`): then a bind proves nothing."""
    return _can_bind(_NOT_ASSIGNED)


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return True
