"""Where a tenant's endpoint may not lead: to this host, to what is next to it only by the wire, and
to the addresses at which clouds hand out credentials.

Private ranges are allowed, for that is where machines stand. A name is judged by every address that
it resolves to, and later, by the runtimes, each connection by the address that it has reached.
"""

import errno
import ipaddress
import socket
import threading
from functools import cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RESOLVE_TIMEOUT_S = 3.0

# Outside the link-local range, in which most clouds have theirs.
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
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # where in it the IPv4 address stands varies
_COMPATIBLE = ipaddress.ip_network("::/96")  # IPv4-compatible, long out of use
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NOT_ASSIGNED = "198.51.100.213"  # kept for documentation: no interface has it


class Unresolvable(Exception):  # noqa: N818 - what a name is, not a mistake
    """There is no address for the name, or none was found in time."""


def refusal(address: str) -> str | None:
    """Why a tenant's endpoint may not lead to this IP address; None where it may."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])  # on whichever interface
    except ValueError:
        return f"{address[:60]!r} is no IP address."
    meant = [given, *_inner(given)]
    kind = next(filter(None, map(_kind, meant)), None)
    if kind is None and any(_is_own(str(each)) for each in meant):
        kind = "an address of this host"
    return kind and f"{address} is {kind}, where only an operator may attach."


def resolve(host: str) -> list[str]:
    """All addresses of a name, or the one that it spells; raises Unresolvable.

    The system's resolver knows no time limit, so it is asked on a thread that may be left behind.
    """
    found: list[str] = []

    def look() -> None:
        try:
            told = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(dict.fromkeys(str(address[0]) for *_, address in told))

    thread = threading.Thread(target=look, name="resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_TIMEOUT_S)
    if not found:
        raise Unresolvable(host)
    return found


def _kind(address: Address) -> str | None:
    """The first that fits, most telling first."""
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
    if any(_in(address, disguise) for disguise in (_MAPPED, _NAT64, _COMPATIBLE)):
        return False  # as good as what it stands for
    return address.is_reserved or _in(address, _LOCAL_NAT64)


def _inner(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for, where it is mapped or translated."""
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
    """Whether an interface of this host has it: only then can one listen there."""
    return _can_bind(address) and not _can_bind_anything()


@cache
def _can_bind_anything() -> bool:
    """Hosts that take over others' addresses may be set so; then binding tells nothing."""
    return _can_bind(_NOT_ASSIGNED)


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return True
