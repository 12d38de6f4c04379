"""Databases of their own, for tests that replace a database or use one from several processes."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from psycopg2 import sql

from mlops_platform.backup.sessions import MAINTENANCE, database_name, django_on, session

DATABASE = f"test_upgrade_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


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


@pytest.fixture
def other_database(transactional_db: None) -> Iterator[None]:
    """Django's connection leads to a copy of the tests' database, which a test may replace."""
    template = database_name()
    connection.close()
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE))
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(template)))
    with django_on(DATABASE):
        yield
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        cursor.execute(drop)
