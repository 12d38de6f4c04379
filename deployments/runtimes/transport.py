"""Connections to machines of others: TLS from PEM text, and a guard for the address reached."""

import os
import ssl
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from deployments.runtimes.base import Access, Guard


class ForbiddenAddress(OSError):  # noqa: N818 - an OSError, so that libraries treat it as no answer
    """The endpoint led to an address that may not be connected to."""


def ssl_context(access: Access) -> ssl.SSLContext:
    """A context that verifies the server, and presents the client certificate if there is one.

    Raises ssl.SSLError or ValueError for text that is no PEM, or a key of another certificate.
    """
    context = ssl.create_default_context(cadata=access.ca or None)
    if access.cert:
        with _Unlinked(f"{access.cert}\n{access.key}\n") as path:
            context.load_cert_chain(path)
    return context


def pool_manager(access: Access, **options: Any) -> urllib3.PoolManager:
    """A urllib3 pool manager without retries that connects only to addresses the guard allows."""
    context = ssl_context(access) if access.url.startswith("https:") else None
    pools = urllib3.PoolManager(ssl_context=context, retries=False, **options)
    if access.guard is not None:
        pools.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, access.guard),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, access.guard),
        }
    return pools


def _pool(pool_class: Any, connection_class: Any, guard: Guard) -> Any:
    """A pool class whose connections check the address that they have reached."""

    class Guarded(connection_class):  # type: ignore[misc]  # the base class depends on the scheme
        def _new_conn(self) -> Any:
            connected = super()._new_conn()
            address = connected.getpeername()[0]
            if refusal := guard(address):
                connected.close()
                raise ForbiddenAddress(refusal)
            return connected

    return type("GuardedPool", (pool_class,), {"ConnectionCls": Guarded})


class _Unlinked:
    """Text as a file that only this process sees, because OpenSSL reads keys only from files."""

    def __init__(self, text: str) -> None:
        self._descriptor = os.memfd_create("credentials", os.MFD_CLOEXEC)
        os.write(self._descriptor, text.encode())

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
