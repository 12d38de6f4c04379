"""Servers of a test's own, which may be broken."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from chaos.platforms.platform import Platform, own_environment
from mlops_platform import embedded


class Servers(Platform):
    """A platform without processes: `with servers_for(...) as platform`."""

    name = "servers"

    def start(self) -> None:
        """`servers_for` has started them."""

    def stop(self) -> None:
        """`servers_for` stops them."""

    def processes(self, name: str) -> list[psutil.Process]:
        return []

    def environment(self) -> dict[str, str]:
        return own_environment()


@contextmanager
def servers_for(*, postgres: bool = False, redis: bool = False) -> Iterator[Servers]:
    platform = Servers()
    try:
        # Durable: one that is not may lose commits in a crash, and may not recover from it.
        with embedded.services(platform.data, postgres=postgres, redis=redis, durable=True):
            yield platform
    finally:
        platform.__exit__(None, None, None)
