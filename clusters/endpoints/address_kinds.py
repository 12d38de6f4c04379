"""Kinds of addresses at which tenants may have nothing, whichever machine asks.

Imports nothing of the platform: the program that fetches buckets judges by the same kinds.
"""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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

OUTSIDE = "outside the ranges of this platform"


def parsed(address: str) -> Address | None:
    """None where the text is no address; its interface does not count."""
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None


def forbidden_kind(address: Address) -> str | None:
    """The kind of the address, or of one inside of it, for which it is refused; None: it is not."""
    return next(filter(None, map(_kind, meant(address))), None)


def meant(address: Address) -> list[Address]:
    """The address, and those inside of it."""
    return [address, *_inner(address)]


def is_in_range(address: Address, ranges: Sequence[Network]) -> bool:
    """Whether one of the ranges has the address, or there are none. An IPv4 address is the same in
    its mapped form; a tunnel or a translation leads elsewhere and needs a range of its own."""
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
