"""By whose share of the threads a request counts."""

from typing import Any

from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.state import token_backend

from mlops_platform.api.throttling.addresses import network_of
from mlops_platform.web.messages import Head

LONGEST_TOKEN = 4096


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
    return f"address {network_of(head.address)}"
