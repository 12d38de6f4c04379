"""HTTP to the platform: one pool of connections, retries, and errors with their codes.

A call is repeated after a lost connection only where that is safe: GET, PUT and DELETE, a POST that
may be made twice, and a POST with an idempotency key. What the platform refuses for load (429, 503)
was not done, so every call is repeated after the time that `Retry-After` names, up to a minute.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError

from mlops import errors

if TYPE_CHECKING:
    from types import TracebackType

    from urllib3 import BaseHTTPResponse

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 60.0
RETRIES: Final = 6
LONGEST_WAIT_S: Final = 60
"""A refusal that asks for a longer wait is raised at once."""
REFUSED_FOR_LOAD: Final = frozenset({429, 503})
REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})


class Credentials(Protocol):
    """Where a call's token comes from."""

    def token(self, transport: Transport) -> str | None:
        """The token to call with; None calls without one."""
        ...

    def renewed(self, transport: Transport, refused: str) -> str | None:
        """Another token after one was refused; None where there is no other."""
        ...


class BoundedRetry(urllib3.Retry):
    """Gives up at once where `Retry-After` names more than LONGEST_WAIT_S."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: TracebackType | None = None,
    ) -> BoundedRetry:
        if response is not None and (self.get_retry_after(response) or 0) > LONGEST_WAIT_S:
            raise MaxRetryError(_pool, url or "", ResponseError("asked to wait for long"))
        return super().increment(method, url, response, error, _pool, _stacktrace)


class Transport:
    """Makes calls below `url` with the token of `credentials`."""

    def __init__(self, url: str, credentials: Credentials, retries: int = RETRIES) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise errors.MlopsError(f"{url!r} is no address: it begins with http:// or https://.")
        self.credentials = credentials
        self._retries = retries
        self._pool = _pool(parts.scheme, parts.hostname)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = False,
        stream: bool = False,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> BaseHTTPResponse:
        """The answer to one call; one of 400 or more is raised as an ApiError.

        With `stream` the body is left to be read. Raises UnreachableError where no answer comes.
        """
        address = self._address(path, query)
        sent = {"Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        options = {
            "body": data,
            "retries": self._retry(repeatable or method in REPEATABLE),
            "preload_content": not stream,
            "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
        }
        token = self.credentials.token(self)
        response = self._send(method, address, sent, token, options)
        if response.status == 401 and token is not None:
            renewed = self.credentials.renewed(self, token)
            if renewed is not None:
                response.drain_conn()
                response = self._send(method, address, sent, renewed, options)
        if response.status >= 400 and not _was_done_before(method, response):
            raise _error(response)
        return response

    def close(self) -> None:
        self._pool.clear()

    def _address(self, path: str, query: Mapping[str, Any] | None) -> str:
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        return f"{self.url}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")

    def _retry(self, after_lost_connection: bool) -> BoundedRetry:
        return BoundedRetry(
            total=self._retries,
            read=None if after_lost_connection else 0,
            other=0,
            redirect=0,
            allowed_methods=None,
            status_forcelist=REFUSED_FOR_LOAD,
            backoff_factor=0.25,
            backoff_jitter=0.25,
            backoff_max=8,
            raise_on_status=False,
        )

    def _send(
        self,
        method: str,
        address: str,
        headers: dict[str, str],
        token: str | None,
        options: dict[str, Any],
    ) -> BaseHTTPResponse:
        given = headers if token is None else {**headers, "Authorization": f"Bearer {token}"}
        try:
            return self._pool.request(method, address, headers=given, **options)
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise errors.UnreachableError(
                f"{self.url} does not answer: {_cause(reason)}."
            ) from error


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """A pool that heeds HTTP_PROXY and the like, and MLOPS_CA: a file of certificates to trust."""
    options: dict[str, Any] = {"ca_certs": os.environ.get("MLOPS_CA") or None}
    if any(name.lower() == f"{scheme}_proxy" for name in os.environ):
        from urllib.request import getproxies, proxy_bypass  # takes time that few need

        proxy = getproxies().get(scheme)
        if proxy and not proxy_bypass(host):
            return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _was_done_before(method: str, response: BaseHTTPResponse) -> bool:
    """A DELETE whose first answer was lost: the repetition finds nothing any more."""
    history = response.retries.history if response.retries is not None else ()
    return method == "DELETE" and response.status == 404 and any(past.error for past in history)


def _error(response: BaseHTTPResponse) -> errors.ApiError:
    data = response.data
    try:
        body = json.loads(data)
    except ValueError:
        body = data.decode(errors="replace")
    return errors.of_answer(response.status, body, response.headers.get("Retry-After"))


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return [_text(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _cause(reason: Any) -> str:
    """The end of urllib3's sentence: `[Errno 111] Connection refused`."""
    return str(reason).rpartition(": ")[2].strip("'\")( .") or type(reason).__name__
