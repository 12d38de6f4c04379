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
from psycopg2 import errors, sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, whatever its name
from redis.exceptions import RedisError

from clusters.models import Cluster
from mlops_platform import __version__
from mlops_platform.backup import keys
from mlops_platform.backup.file import BadBackup, Reader
from mlops_platform.backup.sessions import MAINTENANCE, database_name, django_on, session
from mlops_platform.backup.tables import MIGRATIONS, Table, is_in_use, set_sequence, tables
from mlops_platform.coordination.redis import redis_client
from scheduler import audit

Say = Callable[[str], None]
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
IN_USE = "Processes use the database: stop web, workers, runtimes and timer first."


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """A sentence that says why nothing was restored."""


def restore(reader: Reader, say: Say, *, replace: bool, other_keys: bool) -> None:
    """Raises Refused or BadBackup, after which everything is as it was before."""
    connection.close()
    _refuse_unknown(reader.manifest)
    _refuse_keys(reader.manifest["keys"], say, other_keys=other_keys)
    _refuse_data(replace=replace)
    name = database_name()
    draft, before = f"{name}_restoring", f"{name}_before_restore"
    _drop(draft, before)
    try:
        _create(draft)
        with django_on(draft):
            _fill(reader, draft, say)
        _swap(draft, name, before)
    except (DatabaseError, psycopg2.Error) as error:
        sentence = str(error).partition("\n")[0]  # the lines behind it have values of rows
        raise Refused(f"PostgreSQL cannot do it: {sentence}.") from error
    finally:
        _drop(draft)
    _drop(before)
    _empty_redis(say)


def _refuse_unknown(manifest: dict[str, Any]) -> None:
    known = MigrationExecutor(None).loader.disk_migrations
    unknown = [".".join(each) for each in manifest["migrations"] if tuple(each) not in known]
    if unknown:
        raise Refused(
            f"Version {manifest['version']} made this file, and this is {__version__}, which does "
            f"not know the tables of {unknown[0]}: restore it with that version or a later one."
        )


def _refuse_keys(kept: dict[str, str], say: Say, *, other_keys: bool) -> None:
    if not keys.opens(kept):
        if not other_keys:
            raise Refused(
                "None of CREDENTIALS_KEYS opens what this file has sealed: credentials of machines "
                "and registries, and the env of deployments. Set the key that the file was made "
                "with, or pass --other-keys to restore without all these."
            )
        say("CREDENTIALS_KEYS opens no credential of this file: attach machines again.")
    if not keys.signs(kept):
        say("SECRET_KEY is another one: all users have to log in again.")


def _refuse_data(*, replace: bool) -> None:
    with session(database_name(), autocommit=True) as database, database.cursor() as cursor:
        if is_in_use(cursor) and not replace:
            raise Refused(
                "The database has users, and what they made: pass --replace to lose all of it."
            )
        cursor.execute(_OTHERS, [database_name()])
        if cursor.fetchone() != (0,):
            raise Refused(IN_USE)


def _create(name: str) -> None:
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege as error:
            raise Refused("The role of DATABASE_URL needs the right CREATEDB for this.") from error


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
    for breach in audit.breaches():
        say(f"Audit: {breach}")


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


def _swap(draft: str, name: str, before: str) -> None:
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with session(MAINTENANCE) as server, server.cursor() as cursor:
        try:
            cursor.execute(rename.format(sql.Identifier(name), sql.Identifier(before)))
            cursor.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
        except errors.ObjectInUse as error:
            raise Refused(IN_USE) from error
        server.commit()


def _drop(*names: str) -> None:
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        for name in names:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            cursor.execute(drop.format(sql.Identifier(name)))


def _empty_redis(say: Say) -> None:
    """Its queues, locks and messages are of the database before; workers build them anew."""
    try:
        redis_client().flushdb()
    except RedisError as error:
        say(f"Redis is away ({error}): empty it before you start the processes.")


__all__ = ["BadBackup", "Refused", "restore"]
