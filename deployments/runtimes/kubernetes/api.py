"""Calls the API server with the official client's paths, and raises its errors as a runtime's."""

import json
import socket
import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection

from deployments.runtimes.base import Access, RuntimeUnavailable, one_line
from deployments.runtimes.kubernetes.names import Json
from deployments.runtimes.transport import ForbiddenAddress, pool_manager

PAGE = 500  # objects in one answer
LONGEST_ERROR = 64 * 1024
PIECE = 64 * 1024
TRIES = 3
# Limits that no well-meaning server reaches, so that a hostile one cannot block a worker.
MOST_BYTES = 64 * 1024 * 1024  # of one answer
MOST_PAGES = 1000  # of one list
LONGEST_LINE = 4 * 1024 * 1024  # of a stream
LONGEST_S = 60.0  # for one answer

_SPEAKS_JSON = {"Accept": "application/json, */*", "Content-Type": "application/json"}

# A machine that has vanished sends nothing: keep-alive ends a silent stream from it.
_KEEPALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class Refusal(RuntimeUnavailable):
    """The API server has refused a call. A caller that does not handle it sees no usable answer."""

    def __init__(self, status: int, answer: Json) -> None:
        self.status = status
        self.reason = str(answer.get("reason") or "")
        self.message = one_line(answer.get("message") or f"HTTP status {status}")
        super().__init__(self.message)


class Api:
    """Calls of the client library by name, with JSON in and JSON out.

    The library provides the paths and parameters. Its own connections support neither certificates
    in memory nor the address guard, and they log answers with secrets; so requests go out through
    `transport`, and bodies stay plain JSON.
    """

    def __init__(self, access: Access, timeout_s: float) -> None:
        # Imported here: it takes half a second, which only Kubernetes clusters should cost.
        from kubernetes.client import ApiClient, Configuration, CoreV1Api

        configuration = Configuration(host=access.url.rstrip("/"))
        configuration.proxy = None  # instead of one from the environment
        if access.token:
            configuration.api_key = {"BearerToken": access.token.strip()}
            configuration.api_key_prefix = {"BearerToken": "Bearer"}
        self._timeout_s = timeout_s
        try:
            self._pools = pool_manager(
                access, num_pools=2, maxsize=8, socket_options=list(_KEEPALIVE)
            )
        except (ssl.SSLError, ValueError) as error:
            raise RuntimeUnavailable("The certificates or the key are no PEM.") from error
        self._client = ApiClient(configuration)
        self._client.user_agent = "mlops-platform"
        self._client.request = self._request
        self._core = CoreV1Api(self._client)

    def call(self, name: str, *given: object, **options: object) -> Json:
        """Call the library's method of that name; returns the JSON object of the answer."""
        with closing(self._called(name, given, options, self._timeout_s)) as response:
            return _json_of(_read(response))

    def stream(
        self, name: str, *given: object, silent_s: float, **options: object
    ) -> Iterator[Json]:
        """The same for a stream of objects, one a line, with at most `silent_s` between two."""
        return lines(self._called(name, given, options, silent_s))

    def _called(
        self, name: str, given: Sequence[object], options: Json, read_s: float
    ) -> urllib3.BaseHTTPResponse:
        response: urllib3.BaseHTTPResponse = getattr(self._core, name)(
            *given, **options, _preload_content=False, _request_timeout=(self._timeout_s, read_s)
        )
        return response

    def log(self, namespace: str, name: str, query: Json) -> urllib3.BaseHTTPResponse:
        """A Pod's log. The library's own method lacks `sinceTime`."""
        response: urllib3.BaseHTTPResponse = self._client.call_api(
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "GET",
            path_params={"namespace": namespace, "name": name},
            query_params=list(query.items()),
            auth_settings=["BearerToken"],
            _preload_content=False,
            # A log that is followed may be silent for any time.
            _request_timeout=(self._timeout_s, None if query.get("follow") else self._timeout_s),
        )
        return response

    def items(self, name: str, *given: object, **options: object) -> list[Json]:
        """All items of a list, page by page; reads from the start again if a page has expired."""
        for _ in range(TRIES):
            try:
                return self._pages(name, *given, **options)
            except Refusal as refusal:
                if refusal.status != 410:
                    raise
        raise RuntimeUnavailable("The list changed faster than it could be read.")

    def _pages(self, name: str, *given: object, **options: object) -> list[Json]:
        items: list[Json] = []
        more: Json = {}
        for _ in range(MOST_PAGES):
            answer = self.call(name, *given, limit=PAGE, **options, **more)
            items += answer.get("items") or ()
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return items
            more = {"_continue": following}
        raise RuntimeUnavailable("The API server's list has no end.")

    def close(self) -> None:
        self._pools.clear()

    def _request(
        self,
        method: str,
        url: str,
        *,
        query_params: Any = None,
        headers: Any = None,
        body: Any = None,
        _request_timeout: tuple[float, float | None] = (10, 10),
        **_: object,
    ) -> urllib3.BaseHTTPResponse:
        """Replaces the library's `ApiClient.request`."""
        if query_params:
            url += "?" + urlencode([(k, _text(v)) for k, v in query_params])
        connect_s, read_s = _request_timeout
        try:
            response = self._pools.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers={**headers, **_SPEAKS_JSON},
                timeout=urllib3.Timeout(connect=connect_s, read=read_s),
                redirect=False,  # the endpoint is the only server to trust
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unavailable(error) from error
        except ValueError:
            # The standard library's message quotes the header it refuses to send: the token.
            raise RuntimeUnavailable("The address or the token has a form that none has.") from None
        if 200 <= response.status < 300:
            return response
        with closing(response):
            answer = _read(response, LONGEST_ERROR)
        refusal = Refusal(response.status, _status_of(answer))
        if response.status in {400, 403, 404, 409, 410, 413, 422}:
            raise refusal
        raise RuntimeUnavailable(f"HTTP status {response.status}: {refusal.message}")


def unavailable(error: Exception) -> RuntimeUnavailable:
    """The network error in words for people, without anything that was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenAddress | ssl.SSLError):
            return RuntimeUnavailable(one_line(cause))
        cause = cause.__cause__ or cause.__context__
    timed_out = isinstance(error, urllib3.exceptions.TimeoutError)
    # The library takes a refused connection for a kind of timeout.
    if timed_out and not isinstance(error, urllib3.exceptions.NewConnectionError):
        return RuntimeUnavailable("The API server did not answer in time.")
    return RuntimeUnavailable(one_line(error))


def pieces(response: urllib3.BaseHTTPResponse) -> Generator[bytes]:
    """The pieces of a stream as they come. Closes it at the end, or when the reader leaves."""
    try:
        with closing(response):
            while piece := response.read1(PIECE):
                yield piece
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unavailable(error) from error


def lines(response: urllib3.BaseHTTPResponse) -> Iterator[Json]:
    """A stream of JSON objects, one a line."""
    rest = b""
    with closing(pieces(response)) as stream:
        for piece in stream:
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise RuntimeUnavailable("The API server's line has no end.")
            for line in whole:
                if line.strip():
                    yield _json_of(line)


def _read(response: urllib3.BaseHTTPResponse, most: int | None = None) -> bytes:
    """The whole body, within limits of size and time: the server belongs to others."""
    until, body = time.monotonic() + LONGEST_S, bytearray()
    try:
        while piece := response.read1(min(PIECE, (most or MOST_BYTES) - len(body))):
            body += piece
            if most is not None and len(body) >= most:
                break
            if len(body) >= MOST_BYTES or time.monotonic() > until:
                response.close()
                raise RuntimeUnavailable("The API server's answer has no end.")
        return bytes(body)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unavailable(error) from error


def _json_of(text: bytes) -> Json:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RuntimeUnavailable("What answers there is no Kubernetes API server.")
    return answer


def _status_of(text: bytes) -> Json:
    """The API server's error (kind Status), or the text of a proxy on the way."""
    try:
        return _json_of(text)
    except RuntimeUnavailable:
        return {"message": text.decode(errors="replace")}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
