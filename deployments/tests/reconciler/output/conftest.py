"""A runtimes worker's readers of logs, for testbeds whose rows are in a transaction."""

from collections.abc import Iterator

import pytest

from deployments.tests.log_readers import END_S, LogReadersOfATransaction, seen_by


@pytest.fixture(scope="package")
def _readers() -> Iterator[LogReadersOfATransaction]:
    readers = LogReadersOfATransaction(128)
    readers.start()
    yield readers
    readers.stop()
    readers.join(END_S)


@pytest.fixture(autouse=True)
def log_readers(
    db: None, _readers: LogReadersOfATransaction, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LogReadersOfATransaction]:
    with seen_by(_readers, monkeypatch):
        yield _readers
