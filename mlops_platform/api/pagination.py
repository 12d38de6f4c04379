"""Paging by key: each page starts after the last row of the one before, however the list changes.

DRF's own cursor pagination orders by one field and counts an offset among its ties, up to 1,000 of
them; a queue has thousands of rows with one priority, so the key here has as many columns as the
ordering and ends in a unique one.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import FieldError, ValidationError
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from mlops_platform.api.errors import Invalid

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class KeysetPagination(BasePagination):
    """`?limit=` and `?cursor=` in, a JSON array and a `Link: <…>; rel="next"` header out.

    The queryset's own ordering decides; every view orders by columns that end in a unique one.
    """

    next_link: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        limit = _limit(request.query_params.get("limit"))
        ordering = tuple(str(name) for name in queryset.query.order_by) or ("pk",)
        cursor = request.query_params.get("cursor")
        if cursor is not None:
            queryset = _after(queryset, ordering, _decode(cursor, len(ordering)))
        rows = list(queryset[: limit + 1])
        if len(rows) > limit:
            rows = rows[:limit]
            key = [_value(rows[-1], name.lstrip("-")) for name in ordering]
            url = request.build_absolute_uri()
            self.next_link = replace_query_param(url, "cursor", _encode(key))
        return rows

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


def _after(queryset: QuerySet[Any], ordering: Sequence[str], key: Sequence[Any]) -> QuerySet[Any]:
    """Rows behind `key`: later in the first column, or equal there and later in the next, ..."""
    behind, equal = Q(), Q()
    for name, value in zip(ordering, key, strict=True):
        column = name.lstrip("-")
        later = Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": value})
        behind |= equal & later
        equal &= Q(**{column: value})
    try:
        return queryset.filter(behind)
    except (FieldError, TypeError, ValueError, ValidationError):
        raise _bad_cursor() from None


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
            raise _bad_cursor()
        return [_parsed(value) for value in key]
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_cursor() from None


def _parsed(value: Any) -> Any:
    if isinstance(value, dict):
        moment = parse_datetime(str(value.get("at")))
        if moment is None or moment.tzinfo is None:
            raise _bad_cursor()
        return moment
    if isinstance(value, str) and re.search(r"[\x00\ud800-\udfff]", value):
        raise _bad_cursor()
    if isinstance(value, list | float):  # no list is ordered by a float, which may be infinite
        raise _bad_cursor()
    if isinstance(value, int) and abs(value) >= 2**63:
        raise _bad_cursor()
    return value


def _bad_cursor() -> Invalid:
    return Invalid({"cursor": "Not a cursor of this list; start without one."})
