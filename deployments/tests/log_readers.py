"""The threads of a runtimes worker that read logs, in the tests' own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from deployments.output import worker
from deployments.output.exchange import Request
from deployments.output.worker import LogReaders

END_S = 10.0


@contextmanager
def log_readers(most: int = 128) -> Iterator[LogReaders]:
    """They see what is committed."""
    readers = _LeavingReaders(most)
    readers.start()
    try:
        yield readers
    finally:
        readers.stop()
        readers.join(END_S)


class _LeavingReaders(LogReaders):
    """Their threads leave no database connection behind."""

    def _look_up(self, request: Request) -> Any:
        try:
            return super()._look_up(request)
        finally:
            connections.close_all()


class LogReadersOfATransaction(LogReaders):
    """They see what the test sees, whose transaction is rolled back."""

    connection: BaseDatabaseWrapper

    def _look_up(self, request: Request) -> Any:
        connections["default"] = self.connection
        return super()._look_up(request)


@contextmanager
def seen_by(readers: LogReadersOfATransaction, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The readers use the connection of this test's thread meanwhile."""
    monkeypatch.setattr(worker, "close_old_connections", lambda: None)
    connection = connections["default"]
    connection.inc_thread_sharing()
    readers.connection = connection
    yield
    connection.dec_thread_sharing()
