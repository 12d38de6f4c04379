"""`manage.py migrate`, on a database that serves users meanwhile."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django_zero_downtime_migrations.backends.postgres.schema import UnsafeOperationWarning

from mlops_platform.environment.database import BUSY, BY_SQLSTATE, ONE_MIGRATION
from mlops_platform.processes.restarts import GrowingPause

ATTEMPTS = 10  # pauses of 1, 2, 4, … 30 seconds between them: three minutes in all
POLL_S = 0.2
LOCK_TIMEOUT = "2s"  # requests wait behind a statement that waits for a table


class Command(migrate.Command):
    """Tries again where a lock cannot be had within its timeout, so that no request waits behind
    a migration for longer than that; each attempt goes on where the one before gave up. Of two that
    run at the same time the second waits.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        # `make lint` refuses those of the platform; libraries have some, from before their tables
        # had rows here.
        warnings.simplefilter("ignore", UnsafeOperationWarning)
        pauses = GrowingPause()
        with _alone(connections[options["database"]]):
            for attempt in range(1, ATTEMPTS + 1):
                _set_timeout(connections[options["database"]])
                try:
                    super().handle(*args, **options)
                except OperationalError as error:
                    if not _is_busy(error):
                        raise
                    if attempt == ATTEMPTS:
                        raise CommandError(
                            f"Other transactions kept what a migration needs locked, {ATTEMPTS} "
                            "times. Nothing is half done: run it again, it goes on from here."
                        ) from error
                    pause_s = pauses.after(lived_s=0)
                    self.stdout.write(f"\n  A table is locked; trying again in {pause_s:.0f} s.")
                    time.sleep(pause_s)
                else:
                    return


def _is_busy(error: OperationalError) -> bool:
    return BY_SQLSTATE.get(getattr(error.__cause__, "pgcode", None) or "") is BUSY


def _set_timeout(connection: BaseDatabaseWrapper) -> None:
    """Also of statements for which the schema editor sets none; one that failed has left its own
    timeout behind."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = %s", [LOCK_TIMEOUT])


@contextmanager
def _alone(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Own the lock of migrations. It is asked for again and again: a session that waits for it
    inside PostgreSQL would keep the other one's CREATE INDEX CONCURRENTLY waiting."""
    while not _ask(connection, "pg_try_advisory_lock"):
        time.sleep(POLL_S)
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            _ask(connection, "pg_advisory_unlock")


def _ask(connection: BaseDatabaseWrapper, function: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [ONE_MIGRATION])
        return bool(cursor.fetchone()[0])
