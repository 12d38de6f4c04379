"""The address of the client that a request comes from."""

import ipaddress

from django.conf import settings

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
        return str(ipaddress.ip_address(given))
    except ValueError:
        return peer
