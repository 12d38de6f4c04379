"""Calls the API server with the official client's paths, and raises its errors as a runtime's."""

import json
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection

from deployments.runtimes import limits
from deployments.runtimes.base import Access, AnswerTooLarge, RuntimeUnavailable, one_line
from deployments.runtimes.kubernetes.names import Json
from deployments.runtimes.limits import ANSWER_BYTES, SLOWEST, Body, Limits
from deployments.runtimes.streams import PIECES_PER_S, paced
from deployments.runtimes.transport import ForbiddenAddress, pool_manager

PAGE = 200  # objects in one answer, and fewer where they are too large for one
LEAST_PAGE = 10
LONGEST_ERROR = 64 * 1024
PIECE = 64 * 1024
TRIES = 3
CONNECTIONS = 2  # kept for the next call; a process with many API servers has only so many
# Limits that no well-meaning server reaches, so that a hostile one cannot block a worker.
MOST_ITEMS = 500_000  # of one list
LONGEST_LINE = 2 * 1024 * 1024  # of a stream
STREAM_BYTES = 64 * 1024 * 1024  # of one request

_SPEAKS_JSON = {"Accept": "application/json, */*", "Content-Type": "application/json"}
_PATCHES = {**_SPEAKS_JSON, "Content-Type": "application/merge-patch+json"}

# A machine that has vanished sends nothing: keep-alive ends a silent stream from it.
_KEEPALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]

T = TypeVar("T")


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
                access, num_pools=1, maxsize=CONNECTIONS, socket_options=list(_KEEPALIVE)
            )
        except (ssl.SSLError, ValueError) as error:
            raise RuntimeUnavailable("The certificates or the key are no PEM.") from error
        self._client = ApiClient(configuration)
        self._client.user_agent = "mlops-platform"
        self._client.request = self._request
        self._core = CoreV1Api(self._client)

    def call(self, name: str, *given: object, **options: object) -> Json:
        """Call the library's method of that name; returns the JSON object of the answer."""
        with (
            limits.conversation(Limits(SLOWEST * self._timeout_s)),
            closing(self._called(name, given, options, self._timeout_s)) as response,
        ):
            return _json_of(_read(response))

    def stream(
        self, name: str, *given: object, silent_s: float, within_s: float, **options: object
    ) -> Iterator[Json]:
        """The same for a stream of objects, one a line, with at most `silent_s` between two."""
        with limits.conversation(Limits(within_s, STREAM_BYTES)):
            return lines(self._called(name, given, options, silent_s))

    def _called(
        self, name: str, given: Sequence[object], options: Json, read_s: float
    ) -> urllib3.BaseHTTPResponse:
        response: urllib3.BaseHTTPResponse = getattr(self._core, name)(
            *given, **options, _preload_content=False, _request_timeout=(self._timeout_s, read_s)
        )
        return response

    def log(
        self, namespace: str, name: str, query: Json, of_log: Limits
    ) -> urllib3.BaseHTTPResponse:
        """A Pod's log. The library's own method lacks `sinceTime`."""
        with limits.conversation(of_log):
            response: urllib3.BaseHTTPResponse = self._client.call_api(
                "/api/v1/namespaces/{namespace}/pods/{name}/log",
                "GET",
                path_params={"namespace": namespace, "name": name},
                query_params=list(query.items()),
                auth_settings=["BearerToken"],
                _preload_content=False,
                # A log that is followed may be silent for any time.
                _request_timeout=(
                    self._timeout_s,
                    None if query.get("follow") else self._timeout_s,
                ),
            )
        return response

    def items(
        self, name: str, keep: Callable[[Json], T], *given: object, **options: object
    ) -> list[T]:
        """What `keep` makes of each item of a list, which is read page by page, so that no more
        than a page is in memory; reads from the start again if a page has expired."""
        for _ in range(TRIES):
            try:
                return self._pages(name, keep, *given, **options)
            except Refusal as refusal:
                if refusal.status != 410:
                    raise
        raise RuntimeUnavailable("The list changed faster than it could be read.")

    def _pages(
        self, name: str, keep: Callable[[Json], T], *given: object, **options: object
    ) -> list[T]:
        items: list[T] = []
        more: Json = {}
        page = PAGE
        for _ in range(MOST_ITEMS // PAGE):
            try:
                answer = self.call(name, *given, limit=page, **options, **more)
            except AnswerTooLarge:
                if page <= LEAST_PAGE:
                    raise
                page = max(page // 4, LEAST_PAGE)
                continue
            items += map(keep, answer.get("items") or ())
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return items
            more = {"_continue": following}
        raise AnswerTooLarge("The API server's list has no end.")

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
                headers={**headers, **(_PATCHES if method == "PATCH" else _SPEAKS_JSON)},
                timeout=urllib3.Timeout(connect=connect_s, read=read_s),
                redirect=False,  # the endpoint is the only server to trust
                preload_content=False,
                decode_content=False,  # a small answer could become a large one
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


@contextmanager
def nonsense_as_unavailable() -> Iterator[None]:
    """An answer without what every API server sends, or with another type, is none."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise RuntimeUnavailable("The API server's answer makes no sense.") from error


def unavailable(error: Exception) -> RuntimeUnavailable:
    """The network error in words for people, without anything that was sent."""
    if (limit := limits.exceeded(error)) is not None:
        return limit
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
            yield from paced(iter(partial(response.read1, PIECE), b""), PIECES_PER_S)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unavailable(error) from error


def lines(response: urllib3.BaseHTTPResponse) -> Iterator[Json]:
    """A stream of JSON objects, one a line."""
    rest = bytearray()
    with closing(pieces(response)) as stream:
        for piece in stream:
            rest += piece
            if b"\n" in piece:
                *whole, last = bytes(rest).split(b"\n")
                rest = bytearray(last)
                for line in whole:
                    if line.strip():
                        yield _json_of(line)
            if len(rest) > LONGEST_LINE:
                raise RuntimeUnavailable("The API server's line has no end.")


def _read(response: urllib3.BaseHTTPResponse, most: int | None = None) -> bytes:
    """The body, of which no more than `most` bytes are read, where they are given."""
    body, left = Body(), ANSWER_BYTES if most is None else most
    try:
        while left > 0 and (piece := response.read1(min(PIECE, left))):
            body.add(piece)
            left -= len(piece)
        return body.whole()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        response.close()
        raise unavailable(error) from error


def _json_of(text: bytes) -> Json:
    try:
        answer = limits.parsed(text)
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
