"""Databases of their own, for tests that replace a database or use one from several processes."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg2 import sql

from accounts.models import User
from clusters.models import Cluster
from deployments import env
from deployments.models import Deployment, PriorityClass
from mlops_platform.backup.sessions import MAINTENANCE, database_name, django_on, session
from organizations.models import Organization
from organizations.secrets import owners
from organizations.secrets.services import put_secret

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


@pytest.fixture
def platform(other_database: None) -> None:
    """A database with a user, a cluster and a deployment."""
    user = User.objects.create_user("olga", password="correct-horse")
    cluster = Cluster.objects.create(
        name="gpu",
        organization=Organization.objects.create(name="Lab"),
        total_cpu_milli=1000,
        total_ram_mib=1024,
        total_gpu=1,
    )
    put_secret(user, owners.person(user.pk), "hub", "hunter2")
    Deployment.objects.create(
        cluster=cluster,
        owner=user,
        secrets=[{"scope": "person", "name": "hub", "env": "HUB"}],
        name="tab\tand\\line\nand ü",
        image="train",
        env=env.sealed({"TOKEN": "hunter2"}),
        priority_class=PriorityClass.objects.get(name="LOW"),
        cpu_milli=500,
        ram_mib=512,
        gpu=1,
        scheduling_key="LOW/500/512/1",
    )
    connection.close()


@pytest.fixture
def backup(platform: None, tmp_path: Path) -> Path:
    path = tmp_path / "backup"
    call_command("backup", str(path))
    return path
