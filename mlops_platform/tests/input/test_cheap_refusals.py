"""No refusal costs much: a request that is made to be slow to read is refused with little work.

Work is counted, not timed: functions called, queries, bytes of the answer. `make refusals` measures
seconds. Each route gets a third of the requests, each another one; `make properties` sends all.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.examples import part_of
from mlops_platform.tests.equipment.routes import Route, api_routes
from mlops_platform.tests.equipment.world import World, fingerprint, undone
from mlops_platform.tests.input.hostile import Hostile, hostile_requests
from mlops_platform.tests.input.matrix import ROW_OF
from mlops_platform.tests.input.test_bad_input import unthrottled as unthrottled

SIZE = 64 * 1024
MOST_CALLS = 250_000  # and returns, of functions: 8 for each value that such a body may have
MOST_QUERIES = 12
MOST_BYTES = 16 * 1024


class Calls:
    count = 0

    def __call__(self, *_: Any) -> None:
        self.count += 1


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Counts the calls and returns of functions in this thread."""
    calls, before = Calls(), sys.getprofile()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def sent(world: World, route: Route, hostile: Hostile) -> Any:
    path = route.path.format(**world.ids)
    headers = dict(hostile.headers)
    content_type = headers.pop("Content-Type", "application/json")
    with transaction.atomic():  # what is not refused leaves no trace
        answer = world.client("admin").generic(
            route.method,
            f"{path}?{hostile.query}" if hostile.query else path,
            hostile.body,  # type: ignore[arg-type]  # bytes are taken, the hint is wrong
            content_type=content_type,
            headers=headers,
        )
        transaction.set_rollback(True)
    return answer


@pytest.mark.parametrize("route", [pytest.param(route, id=str(route)) for route in api_routes()])
def test_a_refusal_takes_little_work(world, unthrottled, route):
    before = fingerprint()
    sound = ROW_OF[str(route)].filled_body(world.ids) or {}
    with undone(), every_case() as case:
        sent(world, route, Hostile("a warm-up: a first request imports modules", query="x=1"))
        requests = hostile_requests(route, sound, size=SIZE, thorough=False)
        for hostile in part_of(requests, str(route), 3):
            with case(hostile.what):
                with CaptureQueriesContext(connection) as queries, counted_calls() as calls:
                    answer = sent(world, route, hostile)
                if answer.status_code < 400:
                    continue
                error_body(answer)
                size = len(answer.content)
                assert size <= MOST_BYTES, f"{size} bytes: {answer.content[:200]!r}"
                assert len(queries) <= MOST_QUERIES
                assert calls.count <= MOST_CALLS, f"{calls.count} calls"
    assert fingerprint() == before
