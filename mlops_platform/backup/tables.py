"""The tables and sequences of a database, as PostgreSQL's catalogue has them."""

from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, whatever its name

MIGRATIONS = "django_migrations"
# Without the tables of extensions, and without partitions, whose rows are those of their table.
# Generated columns fill themselves.
_TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 GROUP BY c.relname ORDER BY c.relname
"""
_SEQUENCES = """
SELECT sequencename, last_value FROM pg_sequences
 WHERE schemaname = 'public' AND last_value IS NOT NULL ORDER BY sequencename
"""


class Table(NamedTuple):
    name: str
    columns: list[str]

    def copy(self, direction: str) -> sql.Composed:
        """COPY … TO STDOUT, or FROM STDIN. Of a partitioned table too, all rows."""
        names = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        if direction == "FROM STDIN":
            form = sql.SQL("COPY {table} ({columns}) FROM STDIN")
        else:
            form = sql.SQL("COPY (SELECT {columns} FROM {table}) TO STDOUT")
        return form.format(table=sql.Identifier(self.name), columns=names)


def tables(cursor: Cursor) -> list[Table]:
    cursor.execute(_TABLES)
    return [Table(name, columns) for name, columns in cursor.fetchall()]


def sequences(cursor: Cursor) -> dict[str, int]:
    """The last value that each sequence has given, of those that have given one."""
    cursor.execute(_SEQUENCES)
    return dict(cursor.fetchall())


def set_sequence(cursor: Cursor, name: str, value: int) -> None:
    cursor.execute(sql.SQL("SELECT setval({}::regclass, %s)").format(_quoted(name)), [value])


def migrations(cursor: Cursor) -> list[list[str]]:
    """[app, name] of each that is applied."""
    cursor.execute(
        sql.SQL("SELECT app, name FROM {} ORDER BY id").format(sql.Identifier(MIGRATIONS))
    )
    return [list(row) for row in cursor.fetchall()]


def is_in_use(cursor: Cursor) -> bool:
    """Whether any user has registered or was created."""
    cursor.execute("SELECT to_regclass('public.accounts_user') IS NOT NULL")
    if not _first(cursor):
        return False
    cursor.execute("SELECT EXISTS (SELECT FROM accounts_user)")
    return bool(_first(cursor))


def _first(cursor: Cursor) -> Any:
    row = cursor.fetchone()
    assert row is not None
    return row[0]


def _quoted(name: str) -> sql.Literal:
    return sql.Literal('"' + name.replace('"', '""') + '"')
