"""Faults of PostgreSQL: its processes, its connections, its locks, its disk."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from random import Random

import psutil
import psycopg2

from chaos.faults.kind import WHILE, Kind, NotInjected, declare
from chaos.platforms.platform import Platform
from chaos.platforms.programs import frozen, kill, largest_file, tree
from chaos.platforms.programs import why_no_limits as no_limits

THERE_TIMEOUT_S = 20.0
RECOVERED_S = 3.0  # after a full disk
SMALL_FILE = 64 * 1024  # less than a segment of the write-ahead log
OTHERS = (
    "pid <> pg_backend_pid() AND backend_type = 'client backend' AND application_name <> 'chaos'"
)

KINDS: list[Kind] = []


def kinds(_platform: Platform) -> list[Kind]:
    return KINDS


def _postmaster(platform: Platform) -> psutil.Process:
    deadline = time.monotonic() + THERE_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError, psutil.Error, psycopg2.Error):
            found = platform.postmaster()
            platform.sql().close()
            return found
        time.sleep(0.05)
    raise NotInjected("PostgreSQL does not run.")


def _clients(platform: Platform) -> list[int]:
    """The process ids of the platform's connections."""
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT pid FROM pg_stat_activity WHERE {OTHERS} ORDER BY pid")  # noqa: S608 - our own words
        return [pid for (pid,) in cursor.fetchall()]


def _send(platform: Platform, number: int) -> None:
    with suppress(psutil.Error):
        _postmaster(platform).send_signal(number)


@declare(KINDS, "PostgreSQL: killed")
def _killed(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    kill([_postmaster(platform)])


@declare(KINDS, "PostgreSQL: one of its processes killed")
def _backend_killed(platform: Platform, draw: Random, _lasts_s: float) -> None:
    _postmaster(platform)
    if not (pids := _clients(platform)):
        raise NotInjected("No connection is open.")
    with suppress(psutil.Error):
        kill([psutil.Process(draw.choice(pids))])


@declare(KINDS, "PostgreSQL: restarted at once")
def _immediate(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    _send(platform, signal.SIGQUIT)


@declare(KINDS, "PostgreSQL: restarted")
def _fast(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    _send(platform, signal.SIGINT)


@declare(KINDS, "PostgreSQL: frozen", WHILE)
def _frozen(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with frozen(tree(_postmaster(platform))):
        time.sleep(lasts_s)


@declare(KINDS, "PostgreSQL: one connection frozen", WHILE)
def _backend_frozen(platform: Platform, draw: Random, lasts_s: float) -> None:
    if not (pids := _clients(platform)):
        raise NotInjected("No connection is open.")
    with suppress(psutil.Error), frozen([psutil.Process(draw.choice(pids))]):
        time.sleep(lasts_s)


@declare(KINDS, "PostgreSQL: all connections ended")
def _terminated(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")  # noqa: S608 - our own words


@declare(KINDS, "PostgreSQL: all statements cancelled", WHILE)
def _cancelled(platform: Platform, _draw: Random, lasts_s: float) -> None:
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        deadline = time.monotonic() + lasts_s
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"  # noqa: S608 - our own words
                f" WHERE state = 'active' AND {OTHERS}"
            )
            time.sleep(0.02)


@declare(KINDS, "PostgreSQL: connections used up", WHILE)
def _used_up(platform: Platform, _draw: Random, lasts_s: float) -> None:
    """Whatever connection comes free is taken, too."""
    connections = []
    deadline = time.monotonic() + lasts_s
    try:
        while time.monotonic() < deadline:
            try:
                connections.append(platform.sql())
            except psycopg2.OperationalError:
                time.sleep(0.01)
    finally:
        for each in connections:
            each.close()


@declare(KINDS, "PostgreSQL: read-only", WHILE)
def _read_only(platform: Platform, _draw: Random, lasts_s: float) -> None:
    """As after a failover, for those who are connected to what has become a standby."""
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        cursor.execute("SELECT pg_reload_conf()")
        try:
            time.sleep(lasts_s)
        finally:
            cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
            cursor.execute("SELECT pg_reload_conf()")


@contextmanager
def _transaction(platform: Platform, statement: str) -> Iterator[None]:
    """Inside the block a transaction has done the statement, and idles.

    A statement that finds no row is done again: for a moment the platform may have had all of
    them locked. Raises NotInjected where there is still none after some seconds.
    """
    with closing(platform.sql()) as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            # What the platform itself would wait for may be in the way for a moment.
            cursor.execute("SET lock_timeout = '20s'")
            deadline = time.monotonic() + THERE_TIMEOUT_S
            cursor.execute(statement)
            while cursor.rowcount == 0:  # -1 for a statement that finds no rows by its nature
                connection.rollback()
                if time.monotonic() > deadline:
                    raise NotInjected("There is no row to lock.")
                time.sleep(0.05)
                cursor.execute(statement)
        yield
        connection.rollback()


def _locked(platform: Platform, statement: str, lasts_s: float) -> None:
    with suppress(psycopg2.Error), _transaction(platform, statement):
        time.sleep(lasts_s)


@declare(KINDS, "PostgreSQL: a cluster's row locked", WHILE)
def _cluster_locked(platform: Platform, _draw: Random, lasts_s: float) -> None:
    statement = "SELECT 1 FROM clusters_cluster ORDER BY random() LIMIT 1 FOR UPDATE"
    _locked(platform, statement, lasts_s)


@declare(KINDS, "PostgreSQL: deployments' rows locked", WHILE)
def _deployments_locked(platform: Platform, _draw: Random, lasts_s: float) -> None:
    statement = (
        "SELECT 1 FROM deployments_deployment WHERE status IN ('QUEUED', 'RUNNING')"
        " ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED"
    )
    _locked(platform, statement, lasts_s)


@declare(KINDS, "PostgreSQL: a table locked", WHILE)
def _table_locked(platform: Platform, _draw: Random, lasts_s: float) -> None:
    """As by a migration."""
    _locked(platform, "LOCK TABLE deployments_deployment IN ACCESS EXCLUSIVE MODE", lasts_s)


@declare(KINDS, "PostgreSQL: a long transaction", WHILE)
def _long_transaction(platform: Platform, _draw: Random, lasts_s: float) -> None:
    statement = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
        " SELECT count(*) FROM deployments_deployment"
    )
    with closing(platform.sql()) as connection:
        connection.autocommit = False
        with suppress(psycopg2.Error), connection.cursor() as cursor:
            cursor.execute(statement)
            time.sleep(lasts_s)


@declare(KINDS, "PostgreSQL: full disk", WHILE, lambda _: no_limits())
def _full_disk(platform: Platform, _draw: Random, lasts_s: float) -> None:
    """It cannot write its log, so it ends, and cannot recover until there is room again.

    The limit that stands for the disk counts shared memory, too, as a disk does not. A recovery
    that ends for want of that leaves a server that begins no other one: it is killed.
    """
    with largest_file(_postmaster(platform), SMALL_FILE):
        time.sleep(lasts_s)
    deadline = time.monotonic() + RECOVERED_S
    while time.monotonic() < deadline:
        with suppress(psycopg2.Error):
            platform.sql().close()
            return
        time.sleep(0.1)
    with suppress(OSError, ValueError, psutil.Error):
        kill([platform.postmaster()])
