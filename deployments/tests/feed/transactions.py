"""Transactions of other sessions, beside that of the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def beside(work: Callable[[], Any] = lambda: None, *, writes: bool = True) -> Iterator[Any]:
    """An open transaction in another session that has done `work`, and commits after the block.

    With `writes` it has an id of its own, as every transaction that writes.
    """
    begun, over = threading.Event(), threading.Event()
    found: list[Any] = []

    def run() -> None:
        try:
            with transaction.atomic():
                if writes:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_current_xact_id()")
                found.append(work())
                begun.set()
                over.wait(60)
        finally:
            begun.set()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(60)
    try:
        yield found[0]
    finally:
        over.set()
        thread.join()


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    """Runs work in a thread that closes its connection."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
