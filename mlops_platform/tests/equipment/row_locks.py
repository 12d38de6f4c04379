"""Rows that another session has locked."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def locked(table: str, key: object) -> Iterator[None]:
    """While another connection has locked the row, as any UPDATE of it would."""
    with all_locked([f"SELECT 1 FROM {table} WHERE id = '{key}' FOR NO KEY UPDATE"]):
        yield


@contextmanager
def all_locked(statements: Iterable[str]) -> Iterator[None]:
    """While another connection has done these statements in a transaction that does not end."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            for statement in statements:
                cursor.execute(statement)
            yield
    finally:
        other.close()
