"""How often an address may try to log in or register.

The counts live in Redis, shared by all web processes. While Redis is away no request is
throttled: the password hasher still makes guessing slow.
"""

import hashlib
import logging
import unicodedata
from typing import Any

from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

logger = logging.getLogger(__name__)

LONGEST_NAME = 600  # to normalize a long text may take minutes


class AddressThrottle(SimpleRateThrottle):
    """So many requests per address; a subclass names its scope (DEFAULT_THROTTLE_RATES)."""

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return super().allow_request(request, view)
        except (RedisError, OSError):
            logger.warning("throttle skipped: redis is away", extra={"scope": self.scope})
            return True

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class RegisterThrottle(AddressThrottle):
    scope = "register"


class LoginAddressThrottle(AddressThrottle):
    scope = "login_address"


class LoginThrottle(AddressThrottle):
    """Per user name and address: one account is guessed slowly, an office is not slowed."""

    scope = "login"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        name = request.data.get("username") if isinstance(request.data, dict) else None
        measured = name[:LONGEST_NAME] if isinstance(name, str) else ""  # a longer one is refused
        one_form = unicodedata.normalize("NFKC", measured).lower()  # as the login itself reads it
        digest = hashlib.sha256(one_form.encode()).hexdigest()[:16]
        ident = f"{self.get_ident(request)}:{digest}"
        return self.cache_format % {"scope": self.scope, "ident": ident}
