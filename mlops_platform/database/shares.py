"""What organizations have beyond their shares of a table, by bytes."""

from collections.abc import Iterator
from typing import Any

from django.db import connection

# A hash of one row for each organization: nothing is sorted where all keep to their shares.
_ABOVE = """
SELECT organization_id FROM ({sizes}) s
 GROUP BY organization_id HAVING sum(bytes) > %s ORDER BY organization_id
"""
_OLDEST = """
SELECT id
  FROM (SELECT id, age, sum(bytes) OVER (ORDER BY age DESC, id DESC ROWS UNBOUNDED PRECEDING) total
          FROM ({sizes}) s WHERE organization_id = %s) counted
 WHERE total > %s ORDER BY age, id LIMIT %s
"""


def beyond_share(sizes: str, share: int, most: int) -> Iterator[list[Any]]:
    """The keys of the oldest rows of each organization that has more than its share of bytes, up to
    `most` at a time; the caller deletes them before it goes on.

    `sizes` is SQL that gives (organization_id, id, age, bytes) of every row. One query reads all
    sizes, and one for each `most` rows those of one organization.
    """
    for (organization,) in _rows(_ABOVE.format(sizes=sizes), [share]):
        while True:
            found = _rows(_OLDEST.format(sizes=sizes), [organization, share, most])
            if found:
                yield [key for (key,) in found]
            if len(found) < most:
                break


def _rows(query: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall())
