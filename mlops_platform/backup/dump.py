"""From a database that is in use to a file."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

from mlops_platform import __version__
from mlops_platform.backup import keys
from mlops_platform.backup.file import Writer
from mlops_platform.backup.sessions import database_name, session
from mlops_platform.backup.tables import MIGRATIONS, migrations, sequences, tables


def dump(file: BinaryIO, say: Callable[[str], None]) -> int:
    """Write all rows as of one moment; returns how many. What others write meanwhile goes on and
    is not in the file. A migration has to wait until the dump has ended."""
    with session(database_name()) as database, database.cursor() as cursor:
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
