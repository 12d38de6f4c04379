"""Answers to clients that follow: what has changed since a cursor, and the next cursor."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from deployments.api.finding.totals import MOST_COUNTED, TOTAL
from deployments.feed.pages import Changes
from mlops_platform.api.answers.commit_order import Horizon, cursor_of
from mlops_platform.api.schema.texts import NEXT_PAGE, error, header

NEXT_CURSOR = "Next-Cursor"
NEXT: Mapping[str, Any] = {
    NEXT_CURSOR: header("string", "Where to go on later; also where nothing has changed."),
    "Link": header("string", 'What is there already: `<address>; rel="next"`. Else there is none.'),
}
LIST_HEADERS: Mapping[str, Any] = {
    **NEXT_PAGE,
    NEXT_CURSOR: header("string", "With `updated_after`: where to go on later."),
    TOTAL: header("string", f"With `total`: how many there are, up to `{MOST_COUNTED}+`."),
}
EXPIRED = error(
    "The cursor is too old, or from before the database was restored or replaced: begin anew",
    "cursor_expired",
    "What has changed since this cursor is not known any more.",
)


def answer(
    request: Request, name: str, data: Sequence[Any], found: Changes[Any], seen: Horizon
) -> Response:
    """The rows as `data`, with the next cursor, and, where more is there already, a link to it.

    `name`: the parameter that takes the cursor.
    """
    cursor = cursor_of(found.end, seen, found.at)
    headers = {NEXT_CURSOR: cursor}
    if found.more:
        url = replace_query_param(request.build_absolute_uri(), name, cursor)
        headers["Link"] = f'<{url}>; rel="next"'
    return Response(list(data), headers=headers)
