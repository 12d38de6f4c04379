"""The threads of a runtimes worker that read logs, in the tests' own process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from deployments.output import at_endpoint
from deployments.output.exchange import Request
from deployments.output.worker import LogReaders

END_S = 10.0


@contextmanager
def log_readers(most: int = 128) -> Iterator[LogReaders]:
    """They see what is committed."""
    readers = LogReaders(most)
    readers.start()
    try:
        yield readers
    finally:
        readers.stop()
        readers.join(END_S)


class LogReadersOfATransaction(LogReaders):
    """They see what the test sees, whose transaction is rolled back."""

    connection: BaseDatabaseWrapper

    def _read(self, request: Request) -> None:
        connections["default"] = self.connection
        super()._read(request)


@contextmanager
def seen_by(readers: LogReadersOfATransaction, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The readers use the connection of this test's thread meanwhile."""
    monkeypatch.setattr(at_endpoint, "leave_database", lambda: None)
    connection = connections["default"]
    connection.inc_thread_sharing()
    readers.connection = connection
    yield
    connection.dec_thread_sharing()
