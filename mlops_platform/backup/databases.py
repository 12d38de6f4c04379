"""The databases of a restore: the one in use, the one that is built beside it, and the one that was
in use before, which may be kept."""

import time
from typing import NamedTuple

from psycopg2 import errors, sql

from mlops_platform.backup.sessions import MAINTENANCE, database_name, session

IN_USE = "Processes use the database: stop web, workers, runtimes and timer first."
CLOSING_S = 2.0
_RENAME = sql.SQL("ALTER DATABASE {} RENAME TO {}")
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """A sentence that says why nothing was restored."""


class Names(NamedTuple):
    current: str
    draft: str
    old: str


def names() -> Names:
    name = database_name()
    return Names(name, f"{name}_restoring", f"{name}_before_restore")


def exists(name: str) -> bool:
    with session(MAINTENANCE) as server, server.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        return cursor.fetchone() is not None


def refuse_used(name: str) -> None:
    """A session that was closed just now still shows for a moment, so this one looks again."""
    until = time.monotonic() + CLOSING_S
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        while True:  # each look is a transaction: within one, what it has seen stays
            cursor.execute(_OTHERS, [name])
            if cursor.fetchone() == (0,):
                return
            if time.monotonic() > until:
                raise Refused(IN_USE)
            time.sleep(0.05)


def create(name: str) -> None:
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege as error:
            raise Refused("The role of DATABASE_URL needs the right CREATEDB for this.") from error


def rename(*renamed: tuple[str, str]) -> None:
    """Rename databases, (from, to), one after another: all of them or none."""
    with session(MAINTENANCE) as server, server.cursor() as cursor:
        try:
            for before, after in renamed:
                cursor.execute(_RENAME.format(sql.Identifier(before), sql.Identifier(after)))
        except errors.ObjectInUse as error:
            raise Refused(IN_USE) from error
        server.commit()


def take_place() -> None:
    """Put the draft into the place of the database in use, which becomes the old one. An older one
    that is there becomes the draft, which the caller drops: it stays where this is refused."""
    current, draft, old = names()
    moves = [(current, old), (draft, current)]
    if exists(old):
        older = f"{old}_too"
        moves = [(old, older), *moves, (older, draft)]
    rename(*moves)


def drop(name: str) -> None:
    with session(MAINTENANCE, autocommit=True) as server, server.cursor() as cursor:
        text = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        cursor.execute(text.format(sql.Identifier(name)))
