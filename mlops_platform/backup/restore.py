"""From a file to a database: built beside the one in use, which it then replaces in one step.

Until that step nothing has changed, whatever happens.
"""

import warnings
from collections.abc import Callable
from typing import Any

import psycopg2
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django_zero_downtime_migrations.backends.postgres.schema import UnsafeOperationWarning
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, whatever its name
from redis.exceptions import RedisError

from clusters.models import Cluster
from mlops_platform import __version__, sealing
from mlops_platform.backup import databases, keys
from mlops_platform.backup.databases import Refused
from mlops_platform.backup.file import BadBackup, Reader
from mlops_platform.backup.sessions import database_name, django_on, session
from mlops_platform.backup.tables import MIGRATIONS, Table, is_in_use, set_sequence, tables
from mlops_platform.coordination.redis import redis_client
from scheduler import audit

Say = Callable[[str], None]
WAYS = (
    "`manage.py restore --undo` puts it back into its place, `manage.py restore --drop-old` drops "
    "it."
)


def restore(
    reader: Reader, say: Say, *, replace: bool, other_keys: bool, drop_old: bool = False
) -> None:
    """Raises Refused or BadBackup, after which everything is as it was before.

    The old database stays where it has users and the audit of the new one complains, unless
    `drop_old`.
    """
    connection.close()
    _refuse_unknown(reader.manifest)
    _refuse_keys(reader.manifest["keys"], say, other_keys=other_keys)
    has_users = _refuse_data(replace=replace)
    _, draft, old = databases.names()
    if databases.exists(old) and not drop_old:
        raise Refused(f"{old} is there, from an earlier restore: {WAYS}")
    databases.drop(draft)
    try:
        databases.create(draft)
        with django_on(draft):
            _fill(reader, draft, say)
            _refuse_unopened(reader.manifest["keys"], say, other_keys=other_keys)
            breaches = audit.breaches()
        databases.take_place()
    except (DatabaseError, psycopg2.Error) as error:
        sentence = str(error).partition("\n")[0]  # the lines behind it have values of rows
        raise Refused(f"PostgreSQL cannot do it: {sentence}.") from error
    finally:
        databases.drop(draft)
    for breach in breaches:
        say(f"Audit: {breach}")
    if breaches and has_users and not drop_old:
        say(f"The audit complains, so the old database stays as {old}: {WAYS}")
    else:
        databases.drop(old)
    _empty_redis(say)


def undo(say: Say) -> None:
    """Let the database that an earlier restore has kept, and the one in use, change places. Raises
    Refused, after which everything is as it was before."""
    current, draft, old = databases.names()
    connection.close()
    _refuse_without(old)
    databases.refuse_used(current)
    databases.drop(draft)
    databases.rename((current, draft), (old, current), (draft, old))
    with connection.cursor() as cursor:
        # Each cluster has a cycle as soon as workers run. The tables may be of another version.
        cursor.execute("UPDATE clusters_cluster SET changed_at = clock_timestamp()")
    connection.close()
    _empty_redis(say)


def drop_kept() -> None:
    """Drop the database that an earlier restore has kept. Raises Refused."""
    _refuse_without(databases.names().old)
    databases.drop(databases.names().old)


def _refuse_without(old: str) -> None:
    if not databases.exists(old):
        raise Refused(f"There is no {old}: no restore has kept a database.")


def _refuse_unknown(manifest: dict[str, Any]) -> None:
    known = MigrationExecutor(None).loader.disk_migrations
    unknown = [".".join(each) for each in manifest["migrations"] if tuple(each) not in known]
    if unknown:
        raise Refused(
            f"Version {manifest['version']} made this file, and this is {__version__}, which does "
            f"not know the tables of {unknown[0]}: restore it with that version or a later one."
        )


def _refuse_keys(kept: dict[str, Any], say: Say, *, other_keys: bool) -> None:
    unopened, total = keys.unopened(kept)
    if unopened == total and not other_keys:
        raise Refused(
            "None of CREDENTIALS_KEYS opens what this file has sealed: credentials of machines "
            "and registries, and the env of deployments. Set the keys that the file was made "
            "with, or pass --other-keys to restore without all these."
        )
    if unopened == total:
        say("CREDENTIALS_KEYS opens no credential of this file: attach machines again.")
    if not keys.signs(kept):
        say("SECRET_KEY is another one: all users have to log in again.")


def _refuse_unopened(kept: dict[str, Any], say: Say, *, other_keys: bool) -> None:
    """For a file of a platform that had several keys, of which some are missing: whether any row
    needs these. Reads all that is sealed."""
    unopened, total = keys.unopened(kept)
    if not 0 < unopened < total:
        return
    rows = ", ".join(f"{count} of {what}" for what, count in sealing.unopened().items())
    if not rows:
        return
    said = f"CREDENTIALS_KEYS lacks {unopened} of the file's {total} keys, which sealed {rows}"
    if not other_keys:
        raise Refused(f"{said}: add them, or pass --other-keys to restore without all these.")
    say(f"{said}: enter these anew.")


def _refuse_data(*, replace: bool) -> bool:
    """Whether the database has users."""
    with session(database_name(), autocommit=True) as database, database.cursor() as cursor:
        has_users = is_in_use(cursor)
    if has_users and not replace:
        raise Refused(
            "The database has users, and what they made: pass --replace to lose all of it."
        )
    databases.refuse_used(database_name())
    return has_users


def _fill(reader: Reader, draft: str, say: Say) -> None:
    """The tables as they were when the file was made, its rows, and then this version's tables."""
    manifest = reader.manifest
    warnings.simplefilter("ignore", UnsafeOperationWarning)  # there are no rows yet
    say(f"Making the tables of version {manifest['version']} ...")
    executor = MigrationExecutor(connection)
    executor.migrate(_newest(executor, {(app, name) for app, name in manifest["migrations"]}))
    with session(draft) as database, database.cursor() as cursor:
        _copy(reader, cursor, say)
        database.commit()
    say("Bringing the tables to this version ...")
    call_command("migrate", verbosity=0, interactive=False)
    Cluster.objects.update(changed_at=timezone.now())  # each has a cycle as soon as workers run
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _newest(executor: MigrationExecutor, applied: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last one of each app, on which its others depend."""
    nodes = executor.loader.graph.node_map
    followed = {
        each
        for each in applied & nodes.keys()
        if any(child.key[0] == each[0] and child.key in applied for child in nodes[each].children)
    }
    return sorted((applied & nodes.keys()) - followed)


def _copy(reader: Reader, cursor: Cursor, say: Say) -> None:
    made = {table.name: table for table in tables(cursor) if table.name != MIGRATIONS}
    kept = [Table(name, columns) for name, columns in reader.manifest["tables"]]
    if differing := _differing(made, kept):
        raise Refused(f"The table {differing} is not as its migrations make it; nothing fits.")
    # Migrations have written rows of their own, such as the priority classes.
    names = sql.SQL(", ").join(sql.Identifier(name) for name in made)
    cursor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
    for table in kept:
        reader.begin_table()
        cursor.copy_expert(table.copy("FROM STDIN"), reader)
        say(f"  {table.name}: {cursor.rowcount:,} rows")
    for name, value in reader.manifest["sequences"].items():
        set_sequence(cursor, name, value)


def _differing(made: dict[str, Table], kept: list[Table]) -> str | None:
    columns = {table.name: set(table.columns) for table in made.values()}
    there = {table.name: set(table.columns) for table in kept}
    names = sorted(columns.keys() | there.keys())
    return next((name for name in names if columns.get(name) != there.get(name)), None)


def _empty_redis(say: Say) -> None:
    """Its queues, locks and messages are of the database before; workers build them anew."""
    try:
        redis_client().flushdb()
    except RedisError as error:
        say(f"Redis is away ({error}): empty it before you start the processes.")


__all__ = ["BadBackup", "Refused", "restore"]
