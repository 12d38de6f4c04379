"""Faulty input is answered with a 4xx in the error shape, and changes nothing.

Each call's own serializer says what to try: a new field, or a new call, is tested on the day it is
added.
"""

import json
from typing import Any

import pytest

from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.routes import Route, every_route, routes_with_a_body
from mlops_platform.tests.equipment.world import World, fingerprint
from mlops_platform.tests.input.bad_values import NOT_JSON, NOT_TEXT, bad_bodies, to_json
from mlops_platform.tests.input.matrix import ROW_OF

BODIES = [pytest.param(route, id=str(route)) for route in routes_with_a_body()]
LISTS = [pytest.param(route, id=str(route)) for route in every_route() if route.pages]
with_a_body = pytest.mark.parametrize("route", BODIES)


@pytest.fixture
def unthrottled(anyone, monkeypatch):
    """No throttle: hundreds of bad logins are meant here."""
    for scope in anyone.rates():
        monkeypatch.setitem(anyone.rates(), scope, None)


def sound_body(world: World, route: Route) -> dict[str, Any]:
    body: dict[str, Any] = ROW_OF[str(route)].filled_body(world.ids)
    return body


def send(world: World, route: Route, body: Any, content_type: str = "application/json") -> Any:
    """Sends text or bytes as an ADMIN, so that nothing but the body can be at fault."""
    path = route.path.format(**world.ids)
    return world.client("admin").generic(route.method, path, body, content_type=content_type)


def test_every_call_that_takes_a_body_names_its_serializer():
    """Without it the tests below, and Swagger, would pass the call by."""
    for route in every_route():
        if route.method in {"POST", "PUT", "PATCH"}:
            assert route.serializer is not None, route
            assert ROW_OF[str(route)].body is not None, route


@with_a_body
def test_a_fault_in_a_field_is_answered_with_the_fields_name(world, unthrottled, route):
    before = fingerprint()
    with every_case() as case:
        for fault, body, name in bad_bodies(route.serializer(), sound_body(world, route)):
            with case(fault):
                answer = send(world, route, to_json(body))
                assert answer.status_code == 400, answer.content[:300]
                error = error_body(answer)
                if error["code"] != "parse_error":  # numbers too large for a parser
                    assert list(error["fields"]) == [name], error
    assert fingerprint() == before


@with_a_body
def test_what_is_not_json_or_has_what_no_column_can(world, unthrottled, route):
    before, sound = fingerprint(), sound_body(world, route)
    with every_case() as case:
        for value in [*NOT_JSON, *NOT_TEXT]:
            for body in ({**sound, "x": value}, {**sound, "x": [{"y": value}]}, value):
                with case(to_json(body)):
                    answer = send(world, route, to_json(body))
                    assert answer.status_code == 400, answer.content[:300]
                    assert error_body(answer)["code"] == "parse_error"
    assert fingerprint() == before


BROKEN: dict[str, bytes] = {
    "cut off": b'{"a": ',
    "not JSON": b"hello",
    "a form": b"name=x&role=ADMIN",
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "a NUL byte": b"\x00",
    "two values": b"{}{}",
    "single quotes": b"{'name': 'x'}",
    "a trailing comma": b'{"name": "x",}',
    "a comment": b'{"name": "x"} // x',
    "deep lists": b"[" * 100_000,
    "deep lists, closed": b"[" * 900 + b"]" * 900,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a NUL in a name": rb'{"a\u0000b": 1}',
    "a surrogate in a name": rb'{"\ud800": 1}',
    "a name twice": b'{"name": "x", "name": "y"}',
    "a name twice, deeper": b'{"a": [{"name": "x", "name": "y"}]}',
}


@with_a_body
def test_a_broken_body(world, unthrottled, route):
    before = fingerprint()
    with every_case() as case:
        for fault, body in BROKEN.items():
            with case(fault):
                answer = send(world, route, body)
                assert answer.status_code == 400, answer.content[:300]
                assert error_body(answer)["code"] == "parse_error"
    assert fingerprint() == before


@with_a_body
def test_a_body_that_is_no_object(world, unthrottled, route):
    before = fingerprint()
    tops: list[Any] = [[], [{}], "x", "", 5, 1.5, True, False, None]
    with every_case() as case:
        for top in tops:
            with case(repr(top)):
                answer = send(world, route, json.dumps(top))
                assert answer.status_code == 400
                error_body(answer)
    assert fingerprint() == before


NEEDS_ONE_OF = {
    "PUT /api/clusters/{cluster_id}/quotas/default": ["max_cpu", "max_ram", "max_gpu"],
}


@with_a_body
def test_no_body_is_an_empty_object(world, unthrottled, route):
    """Some calls need no more; of the others the answer names each field that is missing."""
    required = [name for name, field in route.serializer().fields.items() if field.required]
    required += NEEDS_ONE_OF.get(str(route), [])
    before = fingerprint()
    empty, nothing = send(world, route, "{}"), send(world, route, "")
    assert (nothing.status_code == 400) == (empty.status_code == 400) == bool(required)
    if required:
        assert set(error_body(nothing)["fields"]) == set(required)
        assert fingerprint() == before


FORM = "application/x-www-form-urlencoded"


@with_a_body
def test_another_content_type(world, unthrottled, route):
    before = fingerprint()
    with every_case() as case:
        for content_type in ("text/plain", FORM, "multipart/form-data; boundary=x", "x", ""):
            with case(content_type):
                answer = send(world, route, to_json(sound_body(world, route)), content_type)
                assert answer.status_code == 415
                assert error_body(answer)["code"] == "unsupported_media_type"
    assert fingerprint() == before


@with_a_body
def test_a_body_above_the_limit(world, unthrottled, settings, route):
    before = fingerprint()
    sound = to_json(sound_body(world, route))
    answer = send(world, route, sound + " " * settings.MAX_BODY_BYTES)
    assert answer.status_code == 413
    assert error_body(answer)["code"] == "too_large"
    assert fingerprint() == before


@with_a_body
def test_a_body_at_the_limit_is_read(world, unthrottled, settings, route):
    sound = to_json(sound_body(world, route))
    answer = send(world, route, sound + " " * (settings.MAX_BODY_BYTES - len(sound)))
    assert answer.status_code == ROW_OF[str(route)].answers[-1]


BAD_QUERIES = {
    "limit": [
        "", "0", "-1", "1001", "1.5", "1e2", "x", "\u0661", " 5", "9" * 5000,
        "0" * 20 + "1" + "0" * 9, "00000010099999", "\x00", "5&limit=6",
    ],
    "cursor": [
        "", "x", "%00", "e30", "W10", "W251bGwsbnVsbF0", "%ff", "A" * 4000,
        "W05hTiwgTmFOXQ", "W0luZmluaXR5LCAxXQ", "W3t9LHt9XQ", "WyJcdTAwMDAiLCJcdWQ4MDAiXQ",
    ],
    "colour": ["red"],
    "%00": ["x"],
}  # fmt: skip


@pytest.mark.parametrize("route", LISTS)
def test_a_faulty_query_string_is_answered_with_the_parameters_name(world, route):
    path, before = route.path.format(**world.ids), fingerprint()
    with every_case() as case:
        for name, values in BAD_QUERIES.items():
            for value in values:
                with case(f"{name}={value[:50]}"):
                    answer = world.client("admin").get(f"{path}?{name}={value}")
                    assert answer.status_code == 400, answer.content[:300]
                    fields = error_body(answer)["fields"]
                    assert [field.replace("\x00", "%00") for field in fields] == [name]
    assert fingerprint() == before


ODD_QUERIES = ["%", "%ff=%ff", "&&&", "a" * 8000, "=", "&".join(["a=1"] * 1001), "\x00", "a[]=1;b"]


@pytest.mark.parametrize("route", [pytest.param(route, id=str(route)) for route in every_route()])
def test_an_odd_query_string_breaks_nothing(world, unthrottled, route):
    before = fingerprint()
    with every_case() as case:
        for query in ODD_QUERIES:
            with case(query[:50]):
                _an_odd_query_string_breaks_nothing(world, route, query)
    assert fingerprint() == before


def _an_odd_query_string_breaks_nothing(world: World, route: Route, query: str) -> None:
    row = ROW_OF[str(route)]
    if route.method == "GET":
        path = route.path.format(**world.ids)
        answer = world.client("admin").get(f"{path}?{query}")
        assert answer.status_code in {row.answers[-1], 400}, answer.content[:300]
        if answer.status_code == 400:
            error_body(answer)
    else:
        path = row.path.format(**world.nowhere())
        answer = world.client("anonymous").generic(route.method, f"{path}?{query}", "{}")
        assert 400 <= answer.status_code < 500, answer.content[:300]
        error_body(answer)


ODD_PATHS = [
    "%00", "%ff", "%0a", "%0d%0aX: y", "..", "../..", "%2e%2e%2fadmin", ";x", "%3f", "\\", "*",
    "0199D1C4-5E21-7B6F-9D0A-41C2F7A8B305", "a" * 10_000, "/" * 2000,
    "%F0%9F%92%A5", "00000000-0000-0000-0000-00000000000", "1' OR '1'='1",
]  # fmt: skip


def test_an_odd_path_leads_nowhere(world):
    before, admin = fingerprint(), world.client("admin")
    with every_case() as case:
        for odd in ODD_PATHS:
            for start in ("/", "/api/", "/api/clusters/", "/api/deployments/", "/swagger.json"):
                for method in ("GET", "POST", "DELETE"):
                    with case(f"{method} {start}{odd[:50]}"):
                        path = start + odd
                        answer = admin.generic(method, path, b"{}", content_type="application/json")
                        assert answer.status_code in {404, 405}
                        error_body(answer)
    assert fingerprint() == before


BAD_TOKENS = [
    "", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer a b", "Basic YTpi", "x",
    "Bearer \xe4", "Bearer " + "a" * 100_000, "Bearer \x00", "bearer null",
    # {"alg": "none"}, with claims that would fit
    "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.",
]  # fmt: skip


@pytest.mark.parametrize(
    "route", [pytest.param(route, id=str(route)) for route in every_route() if not route.is_open]
)
def test_a_bad_token_is_answered_401(world, route):
    anyone, before = world.client("anonymous"), fingerprint()
    path = route.path.format(**world.ids)
    with every_case() as case:
        for token in BAD_TOKENS:
            with case(token[:50]):
                answer = anyone.generic(route.method, path, HTTP_AUTHORIZATION=token)
                assert answer.status_code == 401, answer.content[:300]
                error_body(answer)
                assert answer["WWW-Authenticate"].startswith("Bearer")
    assert fingerprint() == before
