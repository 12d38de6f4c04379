"""Refuses addresses for tenants' endpoints: those of this host, link-local ones, and those at which
clouds give out credentials.

Private ranges are allowed: GPU machines have such addresses. TENANT_ENDPOINT_RANGES may narrow that
to some ranges, and widens nothing. A host name is judged by every address
that it resolves to; later the runtimes judge each connection by the address that it has reached.
"""

import errno
import ipaddress
import socket
import threading
from functools import cache

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RESOLVE_TIMEOUT_S = 3.0
MOST_LOOKUPS = 32  # in each process
_lookups = threading.BoundedSemaphore(MOST_LOOKUPS)

# Metadata services, most of them outside the link-local range.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # nearly all of them
            "fd00:ec2::254",  # Amazon
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle
            "fd00:c1::a9fe:a9fe",  # Oracle
            "fd00:42::42",  # Scaleway
        ),
    )
)
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")  # Linux takes 0.0.0.0 for this host
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # with the IPv4 address at varying positions
_COMPATIBLE = ipaddress.ip_network("::/96")  # IPv4-compatible, long out of use
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NOT_ASSIGNED = "198.51.100.213"  # reserved for documentation: no interface has it


class Unresolvable(Exception):  # noqa: N818 - a property of a name, not a mistake
    """The name has no address, or none was found in time."""


def refusal(address: str) -> str | None:
    """Why a tenant's endpoint may not lead to this IP address; None where it may."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])  # without the interface
    except ValueError:
        return f"{address[:60]!r} is no IP address."
    meant = [given, *_inner(given)]
    kind = next(filter(None, map(_kind, meant)), None)
    if kind is None and any(_is_own(str(each)) for each in meant):
        kind = "an address of this host"
    if kind is None and not _is_in_range(given):
        kind = "outside the ranges of this platform"
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


def _is_in_range(address: Address) -> bool:
    """Whether TENANT_ENDPOINT_RANGES, where it is set, has the address. An IPv4 address is the same
    in its mapped form; a tunnel or a translation leads elsewhere and needs a range of its own."""
    ranges = settings.TENANT_ENDPOINT_RANGES
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not ranges or any(_in(mapped or address, network) for network in ranges)


def _kind(address: Address) -> str | None:
    """The first kind, most specific first, that the address is of; None where it is allowed."""
    kinds = {
        "a metadata address": address in METADATA,
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "an unspecified address": address.is_unspecified or _in(address, _THIS_NETWORK),
        "a multicast address": address.is_multicast,
        "a reserved address": _is_reserved(address),
    }
    return next((kind for kind, so in kinds.items() if so), None)


def _is_reserved(address: Address) -> bool:
    if any(_in(address, network) for network in (_MAPPED, _NAT64, _COMPATIBLE)):
        return False  # judged by its IPv4 address
    return address.is_reserved or _in(address, _LOCAL_NAT64)


def _inner(address: Address) -> list[Address]:
    """The IPv4 addresses inside a mapped, tunnelled or translated IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    inner += address.teredo or ()
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        inner.append(last)
    if (int(address) >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP
        inner.append(last)
    return [each for each in inner if each is not None]


def _in(address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version and address in network


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
