"""The three ways to a Docker engine: its socket, TCP with or without TLS, and the ssh program."""

import os
import re
import socket
import subprocess
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import urllib3
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from deployments.runtimes.base import Access, one_line
from deployments.runtimes.limits import Body
from deployments.runtimes.transport import ForbiddenAddress, limited, pool_class, pool_manager

SOCKET = "http://engine"  # the Host header where no network is involved
PIECE = 64 * 1024
POOL = 2  # connections kept for the next call; a process with many engines has only so many
SSH = (
    "ssh",
    "-T",
    *("-o", "BatchMode=yes"),  # ssh never prompts: an unknown host key or a password ends it
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=3"),
)


def base_url(access: Access) -> str:
    """The engine's URL in HTTP's words. Raises ValueError for what is no engine's URL."""
    parts = urlsplit(access.url)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return SOCKET
    if parts.scheme == "ssh" and parts.hostname and not parts.password:
        return SOCKET
    if parts.scheme == "tcp" and parts.hostname:
        tls = bool(access.ca or access.cert or access.key)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{'https' if tls else 'http'}://{host}:{parts.port or (2376 if tls else 2375)}"
    raise ValueError("An engine's URL is unix:///path, tcp://host:port or ssh://user@host.")


class EngineAdapter(HTTPAdapter):
    """Lets requests reach one engine and nothing else, with no proxy, no retry, no other trust."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        super().__init__(max_retries=0)
        self.poolmanager = _pools(access, timeout_s)

    def send(
        self, request: PreparedRequest, stream: bool = False, *more: Any, **options: Any
    ) -> Response:
        """Reads an answer that is no stream here, as the conversation's limits allow.

        Nothing is decompressed: a small answer could become a large one.
        """
        response = super().send(request, stream, *more, **options)
        if not stream:
            body = Body()
            try:
                while piece := response.raw.read1(PIECE, decode_content=False):
                    body.add(piece)
                response._content = body.whole()
            except BaseException:
                response.close()
                raise
        return response

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *_: Any, **__: Any
    ) -> HTTPConnectionPool:
        return self.poolmanager.connection_from_url(str(request.url))

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The TLS context verifies. requests would add the public authorities to the given one."""


def _pools(access: Access, timeout_s: float) -> urllib3.PoolManager:
    parts = urlsplit(access.url)
    if parts.scheme == "tcp":
        return pool_manager(replace(access, url=base_url(access)), maxsize=POOL)
    if parts.scheme == "ssh":
        connection_class = _ssh_connection(access, timeout_s)
    else:
        connection_class = _socket_connection(parts.path)
    pools = urllib3.PoolManager(retries=False, maxsize=POOL)
    pools.pool_classes_by_scheme = {"http": pool_class(HTTPConnectionPool, connection_class)}
    return pools


def _socket_connection(path: str) -> type[HTTPConnection]:
    class SocketConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            timeout = self.timeout
            connected.settimeout(timeout if isinstance(timeout, int | float) else None)
            try:
                connected.connect(path)
            except OSError:
                connected.close()
                raise
            return limited(connected)

    return SocketConnection


def _ssh_connection(access: Access, timeout_s: float) -> type[HTTPConnection]:
    """Runs `docker system dial-stdio` on the other side, as the docker program does.

    Both ends of the pipe are sockets, so that timeouts hold.
    """
    command = [*SSH, "-o", f"ConnectTimeout={max(1, int(timeout_s))}"]

    class SshConnection(HTTPConnection):
        _program: "subprocess.Popen[bytes] | None" = None
        _errors = -1  # a file in memory for ssh's error messages
        _complaint = ""

        def _new_conn(self) -> socket.socket:
            words = [*command, *_destination(access), "docker", "system", "dial-stdio"]
            ours, theirs = socket.socketpair()
            errors = os.memfd_create("ssh", os.MFD_CLOEXEC)
            with theirs:
                try:
                    self._program = subprocess.Popen(
                        words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors
                    )
                except OSError:
                    ours.close()
                    os.close(errors)
                    raise
            self._errors = errors
            return limited(ours)

        def getresponse(self) -> Any:
            try:
                return super().getresponse()
            except ConnectionError as error:  # ssh has ended; its message says why
                self.close()
                raise ConnectionError(one_line(f"ssh: {self._complaint or error}")) from error

        def close(self) -> None:
            super().close()
            program, self._program = self._program, None
            if program is not None:
                program.terminate()
                program.wait()
                self._complaint = os.pread(self._errors, 2000, 0).decode(errors="replace")
                os.close(self._errors)

    return SshConnection


def _destination(access: Access) -> list[str]:
    """ssh's arguments for the host, with the very address that the guard has checked."""
    parts = urlsplit(access.url)
    host = str(parts.hostname)
    words = ["-p", str(parts.port)] if parts.port else []
    if parts.username:
        words += ["-l", parts.username]
    if access.guard is not None:
        address = str(socket.getaddrinfo(host, parts.port or 22, type=socket.SOCK_STREAM)[0][4][0])
        if refusal := access.guard(address):
            raise ForbiddenAddress(refusal)
        pinned = [f"HostName={address}", f"HostKeyAlias={host}", "ProxyCommand=none"]
        words += [word for option in pinned for word in ("-o", option)]
    if not re.fullmatch(r"[\w.:%-]+", host, re.ASCII) or host.startswith("-"):
        raise ValueError("No name of a host.")
    return [*words, "--", host]
