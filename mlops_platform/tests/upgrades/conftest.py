"""A database of its own for each test of a whole platform."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from django.conf import settings
from psycopg2 import sql

DATABASE = "test_upgrade"


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of its own on the tests' server, empty."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE))
    server = psycopg2.connect(settings.DATABASE_URL)
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        yield urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=f"/{DATABASE}"))
        cursor.execute(drop)
    server.close()
