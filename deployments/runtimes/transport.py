"""Connections to machines of others: TLS from PEM text, a guard for their addresses, and limits."""

import io
import os
import queue
import socket
import ssl
import threading
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from deployments.runtimes import limits
from deployments.runtimes.base import Access, Guard
from deployments.runtimes.limits import Limits

MOST_ADDRESSES = 4  # of a host, that are tried one after the other
UNLIMITED_S = 10.0  # for a connection outside of a conversation
LONGEST_LINE = 64 * 1024  # of headers, and of a chunk's size


class ForbiddenAddress(OSError):  # noqa: N818 - an OSError, so that libraries treat it as no answer
    """The endpoint led to an address that may not be connected to."""


def ssl_context(access: Access) -> ssl.SSLContext:
    """A context that verifies the server, and presents the client certificate if there is one.

    Raises ssl.SSLError or ValueError for text that is no PEM, or a key of another certificate.
    """
    context = ssl.create_default_context(cadata=access.ca or None)
    context.sslsocket_class = _LimitedTlsSocket
    if access.cert:
        with _Unlinked(f"{access.cert}\n{access.key}\n") as path:
            context.load_cert_chain(path)
    return context


def pool_manager(access: Access, **options: Any) -> urllib3.PoolManager:
    """A urllib3 pool manager without retries that connects only to addresses the guard allows."""
    context = ssl_context(access) if access.url.startswith("https:") else None
    pools = urllib3.PoolManager(ssl_context=context, retries=False, **options)
    pools.pool_classes_by_scheme = {
        "http": pool_class(HTTPConnectionPool, _tcp(HTTPConnection, access.guard)),
        "https": pool_class(HTTPSConnectionPool, _tcp(HTTPSConnection, access.guard)),
    }
    return pools


def is_tls_refusal(error: BaseException) -> bool:
    """Whether one side has refused the other's certificate, or speaks no TLS that the other knows.

    A connection that was cut in the middle of a handshake is no refusal.
    """
    cut = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, cut)


def pool_class(base: Any, connection_class: Any) -> Any:
    """A pool class whose connections keep to the limits of the conversation they are used in, and
    which closes those that it does not keep without a warning."""
    limited = type("LimitedConnection", (_LimitedConnection, connection_class), {})
    return type("LimitedPool", (_Keeping, base), {"ConnectionCls": limited})


def limited(connected: socket.socket) -> socket.socket:
    """The same socket, which keeps to limits from now on."""
    timeout_s = connected.gettimeout()
    own = _LimitedSocket(fileno=connected.detach())
    own.settimeout(timeout_s)
    return own


class _Limited:
    """What a socket asks its limits, before and after each call."""

    limits: Limits | None = None
    _idle_s: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._idle_s = value
        super().settimeout(value)  # type: ignore[misc]  # the socket class comes next

    def recv_into(self, *given: Any) -> int:
        self._wait()
        try:
            count: int = super().recv_into(*given)  # type: ignore[misc]  # the same
        except TimeoutError:
            self._wait()  # says so where the whole time is over
            raise
        if self.limits is not None:
            self.limits.receive(count)
        return count

    def send(self, *given: Any) -> int:
        self._wait()
        return super().send(*given)  # type: ignore[misc,no-any-return]  # the same

    def sendall(self, *given: Any) -> None:
        self._wait()
        super().sendall(*given)  # type: ignore[misc]  # the same

    def makefile(self, mode: str = "r", buffering: int | None = None, **more: Any) -> Any:
        if mode != "rb":
            return super().makefile(mode, buffering, **more)  # type: ignore[misc]  # the same
        return _Lines(super().makefile("rb", 0))  # type: ignore[misc]  # the same

    def _wait(self) -> None:
        if self.limits is not None:
            super().settimeout(self.limits.timeout_s(self._idle_s))  # type: ignore[misc]  # the same


class _LimitedSocket(_Limited, socket.socket):
    """Over TCP, a Unix socket or a pipe."""


class _LimitedTlsSocket(_Limited, ssl.SSLSocket):
    """Over TLS."""


class _Lines(io.BufferedReader):
    """urllib3 reads the line with a chunk's size without a limit of its length."""

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(LONGEST_LINE + 1 if size is None or size < 0 else size)


class _LimitedConnection:
    """A urllib3 connection. One that is used again gets the limits of its new conversation."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # the library's class comes next
        self._limit()

    def request(self, *given: Any, **options: Any) -> None:
        self._limit()
        super().request(*given, **options)  # type: ignore[misc]  # the same

    def _limit(self) -> None:
        if self.sock is not None:
            self.sock.limits = limits.of_this_conversation()


class _Keeping:
    """A pool keeps a few connections for the next calls. Many calls at once are no fault, and the
    library would warn of each connection beyond those few."""

    pool: "queue.LifoQueue[Any] | None"

    def _put_conn(self, conn: Any) -> None:
        try:
            if self.pool is not None:
                self.pool.put(conn, block=False)
                return
        except (queue.Full, AttributeError):  # the latter: another thread has closed the pool
            pass
        if conn:
            conn.close()


def _tcp(base: Any, guard: Guard | None) -> Any:
    """A connection class whose address the guard has allowed."""

    class Guarded(base):  # type: ignore[misc]  # the base class depends on the scheme
        def _new_conn(self) -> socket.socket:
            present = limits.of_this_conversation() or Limits(self.timeout or UNLIMITED_S)
            failure: OSError | None = None
            for family, address in _addresses(self, present):
                if guard is not None and (refusal := guard(str(address[0]))):
                    raise ForbiddenAddress(refusal)
                connected = socket.socket(family, socket.SOCK_STREAM)
                try:
                    for option in self.socket_options or ():
                        connected.setsockopt(*option)
                    connected.settimeout(present.timeout_s(self.timeout))
                    connected.connect(address)
                    connected.settimeout(present.timeout_s(self.timeout))  # for TLS's handshake
                    return limited(connected)
                except OSError as error:
                    connected.close()
                    failure = error
            present.timeout_s()
            if isinstance(failure, TimeoutError):
                raise ConnectTimeoutError(self, f"Connecting to {self.host} timed out.")
            raise NewConnectionError(self, f"Connecting failed: {failure}") from failure

    return Guarded


def _addresses(connection: Any, present: Limits) -> list[tuple[socket.AddressFamily, Any]]:
    """The first few addresses of the connection's host.

    The system's resolver has no timeout, so it runs on a thread that is abandoned in the end.
    """
    found: list[tuple[socket.AddressFamily, Any]] = []
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(
                connection._dns_host, connection.port, type=socket.SOCK_STREAM
            )
            found.extend((family, address) for family, *_, address in answers[:MOST_ADDRESSES])
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, OSError) else OSError(str(error)))

    if connection._dns_host.replace(".", "").isdigit() or ":" in connection._dns_host:
        look_up()  # an address: nothing is asked
    else:
        thread = threading.Thread(target=look_up, name="resolve", daemon=True)
        thread.start()
        thread.join(present.timeout_s(connection.timeout))
    if not found:
        failure = failures[0] if failures else socket.gaierror("The name server timed out.")
        if not isinstance(failure, socket.gaierror):
            raise failure
        raise NameResolutionError(connection.host, connection, failure)
    return found


class _Unlinked:
    """Text as a file that only this process sees, because OpenSSL reads keys only from files."""

    def __init__(self, text: str) -> None:
        self._descriptor = os.memfd_create("credentials", os.MFD_CLOEXEC)
        os.write(self._descriptor, text.encode())

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
