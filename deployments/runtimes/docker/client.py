"""Calls one engine's REST API; raises its errors as those of a runtime."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from threading import Lock
from typing import Any, Literal, TypeVar

import docker
import requests
import urllib3
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException

from deployments.runtimes import limits, streams
from deployments.runtimes.base import (
    Access,
    AccessDenied,
    LimitExceeded,
    OutOfTime,
    RuntimeUnavailable,
    one_line,
)
from deployments.runtimes.docker.connections import EngineAdapter, base_url
from deployments.runtimes.limits import ANSWER_BYTES, SLOWEST, Limits
from deployments.runtimes.transport import is_tls_refusal

OLDEST = "1.41"  # Docker 20.10, the oldest engine that is tried
LONGEST = 1024 * 1024  # bytes of a line, or of a frame of a log
DENIED = (401, 403, 407)
T = TypeVar("T")
NO_ANSWER = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,
    # The server need not be an engine; what its answer lacks raises one of these.
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class Answered(RuntimeUnavailable):
    """The engine answered with an error. A caller that knows its meaning may raise another."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(one_line(sentence))
        self.status = status


class AnsweredDenied(Answered, AccessDenied):
    """The engine, or a proxy in front of it, does not let the platform in."""


@contextmanager
def errors_as_unavailable() -> Iterator[None]:
    """Any error while an answer is fetched or read becomes RuntimeUnavailable."""
    try:
        yield
    except NO_ANSWER as error:
        raise _unavailable(error) from error


class Engine:
    """Connects on the first call, so that making an Engine needs no engine."""

    def __init__(
        self, access: Access, timeout_s: float, largest_answer: int = ANSWER_BYTES
    ) -> None:
        self._access = access
        self._timeout_s, self._largest_answer = timeout_s, largest_answer
        self._client: Any = None  # docker.APIClient, which has no types
        self._lock = Lock()

    def call(self, work: Callable[[Any], T]) -> T:
        """The result of `work` with the client. Raises RuntimeUnavailable, or Answered."""
        with errors_as_unavailable():
            client = self._connected()
            with limits.conversation(self._limits()):
                return work(client)

    def stream(
        self,
        method: Literal["get", "post"],
        path: str,
        read_timeout_s: float,
        *,
        within_s: float,
        most_bytes: int,
        **options: Any,
    ) -> requests.Response:
        """An answer whose body is read as it comes, within limits. Raises as `call` does."""

        def open_stream(client: Any) -> requests.Response:
            response: requests.Response = getattr(client, method)(
                f"{client.base_url}/v{client.api_version}{path}",
                stream=True,
                timeout=(self._timeout_s, read_timeout_s),
                **options,
            )
            if response.status_code >= 400:
                with response:
                    raise _answered(response.status_code, _message(response))
            return response

        with errors_as_unavailable():
            client = self._connected()
            with limits.conversation(Limits(within_s, most_bytes)):
                return open_stream(client)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _limits(self) -> Limits:
        return Limits(SLOWEST * self._timeout_s, self._largest_answer)

    def _connected(self) -> Any:
        """The first caller's client; callers do not wait for each other's connecting."""
        if self._client is None:
            with limits.conversation(self._limits()):
                self._offer(self._connect())
        return self._client

    def _offer(self, client: Any) -> None:
        with self._lock:
            kept = self._client = self._client or client
        if kept is not client:
            client.close()

    def _connect(self) -> Any:
        # Replaces the library's own adapters: for TLS they need files, for ssh another library.
        client: Any = docker.APIClient(
            base_url="http://127.0.0.1:2375", version=OLDEST, timeout=self._timeout_s
        )
        client.base_url = base_url(self._access)
        for prefix in list(client.adapters):
            client.mount(prefix, EngineAdapter(self._access, self._timeout_s))
        client.trust_env = False  # no proxy and no .netrc from the process's environment
        client.max_redirects = 0
        client.headers["Accept-Encoding"] = "identity"
        client.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # none are kept
        # Nor the credentials of a `docker login` on this machine.
        client._general_configs = {}
        client._auth_configs = docker.auth.AuthConfig({})
        known = client.version(api_version=False)
        versions = [known["ApiVersion"], DEFAULT_DOCKER_API_VERSION]
        client._version = max(
            min(versions, key=_numbers), known.get("MinAPIVersion", OLDEST), key=_numbers
        )
        return client


def pieces(response: requests.Response) -> Generator[bytes, None, None]:
    """The body as it comes. Raises RuntimeUnavailable, and Quiet where nothing comes in time."""
    try:
        with errors_as_unavailable():
            body = response.raw.stream(65536, decode_content=False)
            yield from streams.paced(body, streams.PIECES_PER_S)
    except (LimitExceeded, OutOfTime):
        raise
    except RuntimeUnavailable as error:
        if isinstance(error.__cause__, urllib3.exceptions.ReadTimeoutError | TimeoutError):
            raise Quiet("The engine said nothing for too long.") from error
        raise
    finally:
        response.close()


class Quiet(RuntimeUnavailable):
    """Nothing came within the read timeout. The engine may still be there."""


def lines(body: Iterable[bytes | None]) -> Iterator[bytes]:
    """Lines from pieces of any length; an empty line where nothing comes.

    Raises RuntimeUnavailable for a line that does not end.
    """
    rest = bytearray()
    for piece in body:
        if piece is None:
            yield b""
            continue
        rest += piece
        if b"\n" in piece:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            yield from (line for line in whole if line.strip())
        if len(rest) > LONGEST:
            raise RuntimeUnavailable("The engine sends a line that does not end.")
    if rest.strip():
        yield bytes(rest)


def ticking(response: requests.Response, tick_s: float) -> Generator[bytes | None, None, None]:
    """The body as it comes, and None where nothing comes for `tick_s`."""
    return streams.ticking(pieces(response), response.raw.shutdown, tick_s)


def _unavailable(error: BaseException) -> RuntimeUnavailable:
    if (limit := limits.exceeded(error)) is not None:
        return limit
    if isinstance(error, APIError):
        status = error.response.status_code if error.response is not None else 0
        return _answered(status, str(error.explanation or error.args[0]))
    if any(is_tls_refusal(each) for each in limits.wrapped(error)):
        return AccessDenied(one_line(_innermost(error)))
    return RuntimeUnavailable(one_line(_innermost(error)))


def _answered(status: int, sentence: str) -> Answered:
    return (AnsweredDenied if status in DENIED else Answered)(status, sentence)


def _innermost(error: BaseException) -> str:
    """The libraries wrap an error several times; people need the innermost message."""
    for _ in range(10):
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((a for a in error.args if isinstance(a, BaseException)), None)
        if inner is None:
            break
        error = inner
    return str(error) or type(error).__name__


def _message(response: requests.Response) -> str:
    try:
        return str(json.loads(response.raw.read(65536, decode_content=False))["message"])
    except NO_ANSWER:
        return f"{response.status_code} {response.reason}"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
