"""How large the database is, and how fast it grows: measured every hour."""

from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from scheduler.models import DatabaseSize

KEPT = timedelta(days=30)


def measure() -> None:
    """Write down the present size, and forget what is older than KEPT: 720 rows are left. Two
    queries."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO scheduler_databasesize (size) SELECT pg_database_size(current_database())"
        )
    DatabaseSize.objects.filter(at__lt=Now() - KEPT).delete()
