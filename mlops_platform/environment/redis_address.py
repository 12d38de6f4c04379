"""What REDIS_URL says: one server, or the Sentinels that know which server is the primary.

`redis+sentinel://user:password@host:port,host:port/service?db=0`, where user and password are those
of the servers; the Sentinels' own are the parameters `sentinel_username` and `sentinel_password`.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

SCHEME = "redis+sentinel"
PORT = 26379
PARAMETERS = frozenset({"db", "sentinel_username", "sentinel_password"})
FORM = f"{SCHEME}://host:port,host:port/service?db=0"


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where the Sentinels are, the service that they watch, and how to log in."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None

    def login(self) -> dict[str, Any]:
        """For connections to a Sentinel itself."""
        return {"username": self.sentinel_username, "password": self.sentinel_password}


def sentinels(url: str) -> Sentinels | None:
    """None for the URL of one server. Raises ImproperlyConfigured, without repeating the URL, which
    may contain a password."""
    if not url.startswith(f"{SCHEME}:"):
        return None
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    parameters = dict(parse_qsl(parts.query))
    if unknown := parameters.keys() - PARAMETERS:
        raise _fault(f"has the unknown parameter {min(unknown)[:40]!r}")
    service = unquote(parts.path.strip("/"))
    if not service or "/" in service:
        raise _fault("does not name the service that the Sentinels watch")
    db = parameters.get("db", "0")
    if not (db.isascii() and db.isdigit()):
        raise _fault("has a db that is no number")
    return Sentinels(
        hosts=tuple(map(_host_and_port, hosts.split(","))),
        service=service,
        db=int(db),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=parameters.get("sentinel_username"),
        sentinel_password=parameters.get("sentinel_password"),
    )


def check(url: str) -> str:
    """The URL, where it names a server or Sentinels; ImproperlyConfigured names the variable."""
    if sentinels(url) is None:
        try:
            parse_url(url)  # type: ignore[no-untyped-call]  # redis-py's stubs
        except ValueError:
            raise ImproperlyConfigured(
                "REDIS_URL is no URL of a Redis; use redis://host:port/0, rediss://host:port/0, "
                f"unix:///path?db=0 or {FORM}."
            ) from None
    return url


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, PORT
    if not host or parts.path or parts.query:
        raise _fault("has a Sentinel that is no host:port")
    return host, port


def _fault(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"REDIS_URL {what}; use {FORM}.")


class SentinelConnection(SentinelManagedConnection):
    """Is closed after an error such as a timeout, as redis-py's own connections to one server are:
    else it would stay with a frozen server, and take its late reply for that to another command."""

    def read_response(
        self, *args: Any, disconnect_on_error: bool | None = True, **options: Any
    ) -> Any:
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)


class Pool:
    """Makes connection pools, also for Django's cache, which calls `from_url`."""

    @staticmethod
    def from_url(url: str, **options: Any) -> ConnectionPool:
        """A pool of connections to the server; with Sentinels, to whichever is the primary when a
        connection is made."""
        found = sentinels(url)
        if found is None:
            return ConnectionPool.from_url(url, **options)
        login = {"username": found.username, "password": found.password, "db": found.db}
        asking = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's stubs
            found.hosts, sentinel_kwargs=sentinel_options(found, options)
        )
        options |= {"connection_class": SentinelConnection}
        return SentinelConnectionPool(found.service, asking, **login, **options)  # type: ignore[no-untyped-call]  # redis-py's stubs


def sentinel_options(found: Sentinels, options: dict[str, Any]) -> dict[str, Any]:
    """Of connections to a Sentinel: one that is away is not tried again, as there are others."""
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    return {**found.login(), **timeouts, "retry": Retry(NoBackoff(), 0)}


def broker(url: str, timeouts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Celery's URL of the broker, and the options of its transport."""
    found = sentinels(url)
    if found is not None:
        login = f"{quote(found.username or '', safe='')}:{quote(found.password or '', safe='')}@"
        start = f"sentinel://{login if found.username or found.password else ''}"
        urls = [f"{start}{_bracketed(host)}:{port}/{found.db}" for host, port in found.hosts]
        short = {**timeouts, "socket_timeout": timeouts["socket_connect_timeout"]}
        options = {"master_name": found.service, "sentinel_kwargs": sentinel_options(found, short)}
        return ";".join(urls), {**timeouts, **options}
    if url.startswith("unix://"):
        path, _, db = url.removeprefix("unix://").partition("?db=")
        return f"redis+socket://{path}?virtual_host={db or 0}", timeouts
    return url, timeouts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
