"""Each fault of PostgreSQL is one while it lasts, and none afterwards."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from random import Random

import psycopg2
import pytest

from chaos.faults import postgresql
from chaos.tests.servers import Servers, servers_for
from mlops_platform.embedded.postgres import Postgres

LASTS_S, WAIT_S = 1.5, 60.0
TABLES = """
CREATE TABLE IF NOT EXISTS deployments_deployment (status text);
CREATE TABLE IF NOT EXISTS clusters_cluster (name text);
TRUNCATE deployments_deployment, clusters_cluster;
INSERT INTO deployments_deployment VALUES ('QUEUED');
INSERT INTO clusters_cluster VALUES ('west');
"""
WRITE = "UPDATE deployments_deployment SET status = status; UPDATE clusters_cluster SET name = name"
FAILS = {
    "PostgreSQL: connections used up": "too many|remaining connection slots",
    "PostgreSQL: read-only": "read-only",
    "PostgreSQL: a cluster's row locked": "lock timeout",
    "PostgreSQL: deployments' rows locked": "lock timeout",
    "PostgreSQL: a table locked": "lock timeout",
    "PostgreSQL: full disk": "",
    "PostgreSQL: killed": "",
    "PostgreSQL: restarted": "",
    "PostgreSQL: restarted at once": "",
}
OF_A_CONNECTION = {
    "PostgreSQL: all connections ended": "terminating connection|closed",
    "PostgreSQL: all statements cancelled": "canceling statement",
    "PostgreSQL: one of its processes killed": "terminat|closed",
}
SLOW = ("PostgreSQL: frozen", "PostgreSQL: one connection frozen")
HARMLESS = "PostgreSQL: a long transaction"


@pytest.fixture(scope="module")
def _servers() -> Iterator[Servers]:
    with servers_for(postgres=True) as platform:
        yield platform


@pytest.fixture
def platform(_servers: Servers) -> Iterator[Servers]:
    with closing(_servers.sql()) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
    yield _servers
    _bring_back(_servers)


def _bring_back(platform: Servers) -> None:
    """As the supervisor does; then the server must be as it was."""
    server = Postgres(platform.data, durable=True)
    deadline = time.monotonic() + WAIT_S
    while True:
        if not server.is_there():
            server.launch()
        try:
            with closing(platform.sql()) as connection, connection.cursor() as cursor:
                cursor.execute(WRITE)
            return
        except psycopg2.Error:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def write(platform: Servers, name: str = "a user") -> str:
    """The error of an attempt to connect and write; empty where there is none."""
    try:
        with closing(platform.sql()) as connection, connection.cursor() as cursor:
            cursor.execute("SET application_name = %s; SET lock_timeout = '200ms'", [name])
            cursor.execute(WRITE)
    except psycopg2.Error as error:
        return str(error) or type(error).__name__
    return ""


def inject(platform: Servers, name: str) -> None:
    [kind] = [each for each in postgresql.KINDS if each.name == name]
    kind.inject(platform, Random(1), LASTS_S)


def meanwhile(platform: Servers, name: str) -> list[str]:
    """What writes say while the fault lasts, and shortly after."""
    said: list[str] = []
    over = threading.Event()

    def again_and_again() -> None:
        while not over.is_set():
            said.append(write(platform))
            time.sleep(0.02)

    writer = threading.Thread(target=again_and_again)
    writer.start()
    inject(platform, name)
    time.sleep(0.3)
    over.set()
    writer.join()
    return said


@pytest.mark.parametrize(("name", "error"), FAILS.items())
def test_writes_fail_while_the_fault_lasts_and_work_afterwards(
    platform: Servers, name: str, error: str
) -> None:
    said = meanwhile(platform, name)
    assert any(each and word in each for each in said for word in error.split("|")), said
    _bring_back(platform)
    assert write(platform) == ""


@pytest.mark.parametrize(("name", "error"), OF_A_CONNECTION.items())
def test_what_a_connection_does_breaks(platform: Servers, name: str, error: str) -> None:
    said: list[str] = []
    asleep = threading.Event()

    def sleep() -> None:
        with closing(platform.sql()) as connection, connection.cursor() as cursor:
            cursor.execute("SET application_name = 'a user'")
            asleep.set()
            try:
                cursor.execute("SELECT pg_sleep(30)")
            except psycopg2.Error as broken:
                said.append(str(broken))

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    assert asleep.wait(WAIT_S)
    time.sleep(0.3)
    inject(platform, name)
    sleeper.join()
    assert any(word in said[0] for word in error.split("|")), said


@pytest.mark.parametrize("name", SLOW)
def test_a_frozen_connection_answers_once_it_is_thawed(platform: Servers, name: str) -> None:
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute("SET application_name = 'a user'")
        fault = threading.Thread(target=inject, args=[platform, name])
        fault.start()
        longest = 0.0
        while fault.is_alive():
            began = time.monotonic()
            cursor.execute("SELECT 1")
            longest = max(longest, time.monotonic() - began)
        fault.join()
    assert longest > LASTS_S / 2


def test_a_long_transaction_is_in_the_way_of_nobody(platform: Servers) -> None:
    assert set(meanwhile(platform, HARMLESS)) == {""}


def test_every_kind_has_its_test() -> None:
    tested = {*FAILS, *OF_A_CONNECTION, *SLOW, HARMLESS}
    assert {kind.name for kind in postgresql.KINDS} == tested
