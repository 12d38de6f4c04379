"""By whose share of the threads a request counts."""

import ipaddress
from typing import Any

from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.state import token_backend

from mlops_platform.web.messages import Head

LONGEST_TOKEN = 4096
IPV6_NETWORK = 64  # what one subscriber has: counted as one client


def client_of(head: Head) -> str:
    """The user of a valid access token, read without the database; else the address."""
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and len(token) <= LONGEST_TOKEN:
        try:
            claims: Any = token_backend.decode(token.strip())  # type: ignore[arg-type]  # takes text
        except TokenBackendError:
            pass
        else:
            return f"user {claims.get('user_id')}"
    return f"address {_network(head.address)}"


def _network(address: str) -> str:
    try:
        given = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket's peer has none
        return address
    if given.version == 6:
        return str(ipaddress.ip_network((given, IPV6_NETWORK), strict=False))
    return address
