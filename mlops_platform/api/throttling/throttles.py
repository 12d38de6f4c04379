"""How often a call may be made: by address before a login, by user after it.

The counts live in Redis, shared by all web processes, and each request is checked and counted in
one step, so requests at the same time do not pass together. A refused request counts neither in the
throttle that refuses it nor in those behind that. While Redis is away, each process counts for
itself.
"""

import hashlib
import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from mlops_platform.api.names import folded
from mlops_platform.api.throttling.addresses import client_address, network_of
from mlops_platform.coordination.redis import redis_client

logger = logging.getLogger(__name__)

PREFIX = "throttle"
KNOWN_FOR_S = 30 * 24 * 3600
LONGEST_NAME = 600  # to normalize a long text may take minutes


class RateThrottle(SimpleRateThrottle):
    """A moving window; a subclass names its scope (DEFAULT_THROTTLE_RATES) and its key."""

    num_requests: int  # of the rate, set by the base class
    duration: int  # in seconds
    _free_at = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        if self.rate is None:
            return True
        windows = self.windows(request)
        try:
            return self._hit(_shared(redis_client()), windows)
        except (RedisError, OSError):
            logger.warning("throttle of this process alone: redis is away")
            return self._hit(_own(), windows)

    def _hit(self, limiter: MovingWindowRateLimiter, windows: Iterable[tuple[int, str]]) -> bool:
        """Whether each window lets the request through; those behind one that does not, do not
        count it."""
        for most, key in windows:
            limit = RateLimitItemPerSecond(most, self.duration)
            if not limiter.hit(limit, key):
                self._free_at = limiter.get_window_stats(limit, key).reset_time
                return False
        return True

    def wait(self) -> float:
        """Seconds until the next request is let through, of one that was not."""
        return max(self._free_at - time.time(), 0.0)

    def windows(self, request: Request) -> list[tuple[int, str]]:
        """(Number of requests, key) of each window that counts the request."""
        return [(self.num_requests, f"{self.scope}:{self.identity(request)}")]

    def get_ident(self, request: Request) -> str:
        """The address that the web server and the log's lines name, too."""
        meta = request.META
        return client_address(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""))

    def identity(self, request: Request) -> str:
        return network_of(self.get_ident(request))


@cache
def _shared(client: Any) -> MovingWindowRateLimiter:
    pool = client.connection_pool
    return MovingWindowRateLimiter(
        RedisStorage("redis://", connection_pool=pool, key_prefix=PREFIX)
    )


@cache
def _own() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


# --- Users ---------------------------------------------------------------------------------------


class UserThrottle(RateThrottle):
    def identity(self, request: Request) -> str:
        return str(request.user.pk)


class QuoteThrottle(UserThrottle):
    scope = "quote"


class PasswordThrottle(UserThrottle):
    """Changes of the password: with a stolen token the old one is guessed slowly, as at a login."""

    scope = "password"


class JoinThrottle(UserThrottle):
    """Codes and invitations are guessed slowly."""

    scope = "join"


class InviteThrottle(UserThrottle):
    """Invitations: none mails the world."""

    scope = "invite"


class ExplainThrottle(UserThrottle):
    scope = "explain"


# --- Registrations and logins --------------------------------------------------------------------


class ResetThrottle(RateThrottle):
    """Requests and uses of mailed links, per address of a client."""

    scope = "reset"


class ResetAccountThrottle(RateThrottle):
    """Mails to one e-mail address, whether or not it is a user's."""

    scope = "reset_account"

    def identity(self, request: Request) -> str:
        email = request.data.get("email") if isinstance(request.data, dict) else None
        given = email[:LONGEST_NAME].lower() if isinstance(email, str) else ""
        return hashlib.sha256(given.encode()).hexdigest()[:16]


class DeviceThrottle(RateThrottle):
    """Device codes, per address of a client."""

    scope = "device"


class UserCodeThrottle(UserThrottle):
    """Short codes of devices are guessed slowly."""

    scope = "device"


class MailThrottle(UserThrottle):
    """Mails to the user's own address."""

    scope = "reset_account"


class RegisterThrottle(RateThrottle):
    scope = "register"


class LoginAddressThrottle(RateThrottle):
    scope = "login_address"


class LoginThrottle(RateThrottle):
    """Per user name and address: one account is guessed slowly, an office is not slowed."""

    scope = "login"

    def identity(self, request: Request) -> str:
        return f"{super().identity(request)}:{_account(request)}"


class LoginAccountThrottle(RateThrottle):
    """Per user name over all addresses, so that many addresses together guess slowly too.

    Addresses from which the account has logged in are exempt, and one address uses up a quarter of
    the rate at most. So attackers with several addresses keep the user out of new addresses alone,
    and as long as the attack goes on.
    """

    scope = "login_account"

    def windows(self, request: Request) -> list[tuple[int, str]]:
        account, address = _account(request), super().identity(request)
        if _is_known(account, address):
            return []
        most = self.num_requests
        key = f"{self.scope}:{account}"
        return [(max(most // 4, 1), f"{key}:{address}"), (most, key)]


LOGIN_THROTTLES: list[type[RateThrottle]] = [
    LoginThrottle,
    LoginAddressThrottle,
    LoginAccountThrottle,
]


def remember_address(request: Request) -> None:
    """Note that the account which this request names has logged in from its address."""
    address = network_of(LoginAccountThrottle().get_ident(request))
    try:
        redis_client().set(_known_key(_account(request), address), "1", ex=KNOWN_FOR_S)
    except (RedisError, OSError):
        logger.warning("address not noted: redis is away")


def _is_known(account: str, address: str) -> bool:
    try:
        return bool(redis_client().exists(_known_key(account, address)))
    except (RedisError, OSError):
        logger.warning("known addresses unread: redis is away")
        return False


def _known_key(account: str, address: str) -> str:
    return f"{PREFIX}:known:{account}:{address}"


def _account(request: Request) -> str:
    """A digest of the name, in the form in which the login itself reads it."""
    name = request.data.get("username") if isinstance(request.data, dict) else None
    measured = name[:LONGEST_NAME] if isinstance(name, str) else ""  # a longer one is refused
    return hashlib.sha256(folded(measured).encode()).hexdigest()[:16]
