"""The one header that a submit reads."""

import re

from drf_yasg import openapi
from rest_framework.request import Request

from mlops_platform.api.errors import Invalid

NAME = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_VISIBLE = re.compile(r"[!-~]{1,255}")

PARAMETER = openapi.Parameter(
    NAME,
    openapi.IN_HEADER,
    type=openapi.TYPE_STRING,
    description="Sending the same body again with the same key answers the first deployment.",
)


def idempotency_key(request: Request) -> str | None:
    """400 where the header is there but is no key."""
    key = request.headers.get(NAME)
    if key is not None and not _VISIBLE.fullmatch(key):
        raise Invalid({NAME: "1 to 255 visible ASCII characters."})
    return key
