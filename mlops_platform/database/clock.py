"""The database's clock, the only one by which times in rows are compared.

Each host has a clock of its own, which may be wrong, and may be put right at any moment. In a
query, django.db.models.functions.Now is the database's time at the start of the statement.
"""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's time. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
