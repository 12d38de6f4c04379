"""From a database that is in use to a file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO

from mlops_platform import __version__
from mlops_platform.backup import keys
from mlops_platform.backup.file import Writer
from mlops_platform.backup.sessions import database_name, session
from mlops_platform.backup.tables import MIGRATIONS, migrations, sequences, tables
from mlops_platform.environment.database import ONE_MIGRATION

POLL_S = 0.2


def dump(file: BinaryIO, say: Callable[[str], None]) -> int:
    """Write all rows as of one moment; returns how many. What others write meanwhile goes on and
    is not in the file. A migration has to wait until the dump has ended, and the dump until a
    migration has."""
    with _no_migration(), session(database_name()) as database, database.cursor() as cursor:
        database.set_session(isolation_level="REPEATABLE READ", readonly=True)
        found = [table for table in tables(cursor) if table.name != MIGRATIONS]
        manifest = {
            "version": __version__,
            "at": datetime.now(UTC).isoformat(),
            "migrations": migrations(cursor),
            "sequences": sequences(cursor),
            "keys": keys.samples(),
            "tables": [[table.name, table.columns] for table in found],
        }
        total = 0
        with Writer(file, manifest) as writer:
            for table in found:
                cursor.copy_expert(table.copy("TO STDOUT"), writer)
                writer.end_table()
                total += cursor.rowcount
                say(f"  {table.name}: {cursor.rowcount:,} rows")
        return total


@contextmanager
def _no_migration() -> Iterator[None]:
    """Share the lock that a migration owns, until the session ends."""
    with session(database_name(), autocommit=True) as beside, beside.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock_shared(%s)", [ONE_MIGRATION])
            if cursor.fetchone() == (True,):
                break
            time.sleep(POLL_S)
        yield
