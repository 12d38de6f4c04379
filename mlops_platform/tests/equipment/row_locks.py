"""Rows that another session has locked."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def locked(table: str, key: object) -> Iterator[None]:
    """While another connection has locked the row, as any UPDATE of it would."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR NO KEY UPDATE", [str(key)])
            yield
    finally:
        other.close()
