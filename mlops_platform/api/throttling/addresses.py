"""The address of the client that a request comes from, and the network that counts as one."""

from ipaddress import IPv4Address, ip_address, ip_network

from django.conf import settings

IPV6_NETWORK = 64  # bits of the prefix that one subscriber has
CLIENT = "mlops_platform.client"
"""Names the WSGI environ's entry in which the platform's own web server puts the address."""


def client_address(peer: str, forwarded_for: str) -> str:
    """The address behind TRUSTED_PROXIES proxies, by X-Forwarded-For; without proxies, the peer's.

    What is no IP address there is not believed.
    """
    proxies = int(str(settings.REST_FRAMEWORK["NUM_PROXIES"]))
    if not proxies or not forwarded_for:
        return peer
    hops = forwarded_for.split(",")
    given = hops[-min(proxies, len(hops))].strip()
    try:
        return str(ip_address(given))
    except ValueError:
        return peer


def network_of(address: str) -> str:
    """The address; of one in IPv6, the /64 network, all of which is one client's.

    A socket that serves both protocols shows an IPv4 address in its IPv6 form: it counts by itself.
    """
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket's peer has none
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((parsed, IPV6_NETWORK), strict=False))
