"""Paging by key: each page starts after the last row of the one before, however the list changes.

DRF's own cursor pagination orders by one field and counts an offset among its ties, up to 1,000 of
them; a queue has thousands of rows with one priority, so the key here has as many columns as the
ordering and ends in a unique one.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import FieldError, ValidationError
from django.db.models import Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from mlops_platform.api.errors import Invalid
from mlops_platform.api.times import moment

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MOST_BYTES = 2 * 1024 * 1024
"""Of the texts and the JSON of a page's rows: a page with more ends early."""
FIRST_READ = DEFAULT_LIMIT + 1
"""Rows of the first query; their size says how many the next may read."""
_HEAVY = (str, dict, list)
K = TypeVar("K")
Row = TypeVar("Row")


class KeysetPagination(BasePagination):
    """`?limit=` and `?cursor=` in, a JSON array and a `Link: <…>; rel="next"` header out.

    A page has about MOST_BYTES at most, so it may have fewer rows than `limit`. The Link header
    says whether there are more.

    The queryset's own ordering decides; every view orders by columns that end in a unique one. A
    subclass may read its lists in another way (`ordering_of`, `after`, `first_rows`).
    """

    next_link: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        limit = _limit(request.query_params.get("limit"))
        ordering = self.ordering_of(queryset)
        cursor = request.query_params.get("cursor")
        if cursor is not None:
            queryset = self.after(queryset, ordering, _decode(cursor, len(ordering)))
        rows, more = self._page(queryset, ordering, limit)
        if more:
            url = request.build_absolute_uri()
            key = _encode(_key_of(rows[-1], ordering))
            self.next_link = replace_query_param(url, "cursor", key)
        return rows

    def ordering_of(self, queryset: Any) -> tuple[str, ...]:
        """The columns of the list's order, with `-` where it descends."""
        return tuple(str(name) for name in queryset.query.order_by) or ("pk",)

    def after(self, queryset: Any, ordering: Sequence[str], key: Sequence[Any]) -> Any:
        """The rows behind `key`: later in the first column, or equal there and later in the next,
        ... 400 where `key` is none of this ordering."""
        behind, equal = Q(), Q()
        for name, value in zip(ordering, key, strict=True):
            column = name.lstrip("-")
            later = Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
            behind |= equal & later
            equal &= Q(**{column: value})
        try:
            return queryset.filter(behind)
        except (FieldError, TypeError, ValueError, ValidationError):
            raise bad_cursor() from None

    def first_rows(self, queryset: Any, count: int) -> list[Any]:
        """So many rows at most. One query."""
        return list(queryset[:count])

    def _page(self, queryset: Any, ordering: Sequence[str], limit: int) -> tuple[list[Any], bool]:
        """The page's rows, and whether there are more. One query for a page of FIRST_READ rows,
        another for a larger one, and more where its rows are heavy."""
        rows: list[Any] = []
        size, wanted = 0, min(limit + 1, FIRST_READ)
        while True:
            rest = self.after(queryset, ordering, _key_of(rows[-1], ordering)) if rows else queryset
            read = self.first_rows(rest, wanted)
            for row in read:
                if len(rows) == limit or (size > MOST_BYTES and rows):
                    return rows, True
                rows.append(row)
                size += _weight(row)
            if len(read) < wanted:
                return rows, False
            fit = max(MOST_BYTES - size, 0) * len(rows) // max(size, 1)
            wanted = min(limit + 1 - len(rows), fit + 1)

    def get_paginated_response(self, data: Any) -> Response:
        headers = {"Link": f'<{self.next_link}>; rel="next"'} if self.next_link else {}
        return Response(data, headers=headers)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        return schema

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "default": DEFAULT_LIMIT, "minimum": 1, "maximum": MAX_LIMIT}
        return [
            {
                "name": "limit",
                "in": "query",
                "description": "How many rows at most.",
                "schema": limit,
            },
            {
                "name": "cursor",
                "in": "query",
                "description": "Where to go on: the address in the Link header of the page before.",
                "schema": {"type": "string"},
            },
        ]


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Invalid({"limit": f"A whole number from 1 to {MAX_LIMIT}."})
    return int(text)


def _weight(row: Any) -> int:
    """The bytes of a row's texts and JSON, roughly."""
    return sum(_weight_of(value) for value in row.__dict__.values() if value.__class__ in _HEAVY)


def _weight_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _weight_of(each) for name, each in value.items())
    return sum(map(_weight_of, value)) if isinstance(value, list) else 8


def _key_of(row: Any, ordering: Sequence[str]) -> list[Any]:
    return [_value(row, name.lstrip("-")) for name in ordering]


def _value(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = getattr(row, name)
    return row


def _encode(key: Sequence[Any]) -> str:
    plain = [_plain(value) for value in key]
    return (
        base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode())
        .decode()
        .rstrip("=")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    return str(value) if isinstance(value, UUID) else value


def _decode(cursor: str, columns: int) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        key = json.loads(raw)
        if not isinstance(key, list) or len(key) != columns:
            raise bad_cursor()
        return [_parsed(value) for value in key]
    except (binascii.Error, ValueError, RecursionError):
        raise bad_cursor() from None


def _parsed(value: Any) -> Any:
    if isinstance(value, dict):
        time = moment(str(value.get("at")))
        if time is None:
            raise bad_cursor()
        return time
    if isinstance(value, str) and re.search(r"[\x00\ud800-\udfff]", value):
        raise bad_cursor()
    if isinstance(value, list | float):  # no list is ordered by a float, which may be infinite
        raise bad_cursor()
    if isinstance(value, int) and abs(value) >= 2**63:
        raise bad_cursor()
    return value


def bad_cursor() -> Invalid:
    """400 for a cursor that no page of the list has given."""
    return Invalid({"cursor": "Not a cursor of this list; start without one."})


def limit_of(request: Request) -> int:
    """`?limit=`; 400 where it is no number in range."""
    return _limit(request.query_params.get("limit"))


def read_within_budget(
    keys: Sequence[K], read: Callable[[Sequence[K]], Mapping[K, Row]]
) -> tuple[list[Row], int]:
    """The rows of the first keys, as many as a page may have in bytes, and how many keys that were.

    `read` may find no row for a key. One query of it for each FIRST_READ keys.
    """
    rows: list[Row] = []
    size = 0
    for start in range(0, len(keys), FIRST_READ):
        some = keys[start : start + FIRST_READ]
        found = read(some)
        for number, key in enumerate(some, start):
            if size > MOST_BYTES and rows:
                return rows, number
            if (row := found.get(key)) is not None:
                rows.append(row)
                size += _weight(row)
    return rows, len(keys)
