"""Queries that give up soon: what cannot be read in time is unknown."""

import logging
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

logger = logging.getLogger(__name__)

LONGEST_MS = 400

Rows = list[tuple[Any, ...]]


def rows_of(query: str, params: dict[str, Any] | None = None) -> Rows | None:
    """None where the query failed or took too long. One query: the limit goes with it, and ends
    with it. Within a transaction, which a failure would end, there is none."""
    limited = f"SET LOCAL statement_timeout TO {LONGEST_MS}; {query}"
    if connection.in_atomic_block:
        limited = query
    try:
        with connection.cursor() as cursor:
            cursor.execute(limited, params or {})
            return list(cursor.fetchall())
    except (DatabaseError, InterfaceError) as error:
        logger.warning("not shown on the home: a query failed", extra={"error": str(error)})
        return None
