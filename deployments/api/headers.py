"""The one header that a submit reads."""

import re

from drf_yasg import openapi
from rest_framework.request import Request

from mlops_platform.api.errors import Invalid
from mlops_platform.api.schema import parameter

NAME = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_VISIBLE = re.compile(r"[!-~]{1,255}")

PARAMETER = parameter(
    NAME,
    openapi.TYPE_STRING,
    "Sending the same body again with the same key answers the first deployment.",
    at=openapi.IN_HEADER,
)


def idempotency_key(request: Request) -> str | None:
    """The header's key, or None without one; 400 for a text that is no key."""
    key = request.headers.get(NAME)
    if key is not None and not _VISIBLE.fullmatch(key):
        raise Invalid({NAME: "1 to 255 visible ASCII characters."})
    return key
