"""Sessions with the server of DATABASE_URL, beside those of Django."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from django.db import connection
from psycopg2.extensions import connection as Session  # noqa: N812 - a class, whatever its name

MAINTENANCE = "postgres"  # a database that every server has, to rename and drop others from


def database_name() -> str:
    return str(connection.settings_dict["NAME"])


@contextmanager
def session(database: str, *, autocommit: bool = False) -> Iterator[Session]:
    """Rolled back unless it is committed."""
    opened = psycopg2.connect(**{**connection.get_connection_params(), "dbname": database})
    try:
        opened.autocommit = autocommit
        yield opened
    finally:
        opened.close()


@contextmanager
def django_on(database: str) -> Iterator[None]:
    """Let Django's own connection lead to another database of the server."""
    before = database_name()
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
