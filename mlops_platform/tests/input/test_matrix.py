"""Every call by every person: the status, what it may show, and that a refusal changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.routes import METHODS, every_path, every_route
from mlops_platform.tests.equipment.world import PEOPLE, World, fingerprint, undone
from mlops_platform.tests.input.matrix import MATRIX, ROWS_OF, Row


def for_each_call(wanted: Callable[[Row], bool] = lambda _: True) -> Any:
    """Parametrises a test by the calls that have such rows; `rows` are these."""
    rows_of = {name: [row for row in rows if wanted(row)] for name, rows in ROWS_OF.items()}
    found = [pytest.param(rows, id=name) for name, rows in rows_of.items() if rows]
    return pytest.mark.parametrize("rows", found)


def call(world: World, person: str, row: Row, slash: str = "", **changed: Any) -> Any:
    """The row's request as `person`; `ids` for others than the world's."""
    ids = changed.pop("ids", world.ids)
    path = row.path.format(**ids).rstrip("/") + slash if slash else row.path.format(**ids)
    send = getattr(world.client(person), changed.pop("method", row.method).lower())
    return send(path + row.query.format(**ids), row.filled_body(ids))


def test_every_route_has_a_row_and_every_row_a_route():
    assert {row.call for row in MATRIX} == {str(route) for route in every_route()}


ROUTES = {str(route): route for route in every_route()}


def test_the_role_that_the_viewset_names_is_the_lowest_that_is_let_in():
    """Swagger shows the same: it reads the viewset's table too."""
    with every_case() as case:
        for row in MATRIX:
            if row.path.startswith("/api/"):
                with case(f"{row.call}{row.query}"):
                    answers = zip(PEOPLE[1:], row.answers[1:], strict=True)
                    lowest = next(person for person, status in answers if status not in {403, 404})
                    expected = None if lowest == "stranger" else lowest.upper()
                    assert ROUTES[row.call].role == expected


@for_each_call()
def test_each_person_gets_their_answer(world, rows):
    before = fingerprint()
    with every_case() as case:
        for row in rows:
            for person, status in zip(PEOPLE, row.answers, strict=True):
                for slash in ("", "/"):
                    with case(f"{row.query}{slash} as {person}"), undone():
                        answer = call(world, person, row, slash)
                        assert answer.status_code == status, answer.content[:500]
                        assert b"of the robot" not in answer.getvalue(), "a secret's value"
                        if status >= 400:
                            error_body(answer)
                        changes = status < 400 and row.method != "GET" and row.writes
                        assert (fingerprint() != before) == changes
    assert fingerprint() == before


@for_each_call(lambda row: row.method == "GET")
def test_head_answers_as_get_without_the_body(world, rows):
    with every_case() as case:
        for row in rows:
            for person in PEOPLE:
                with case(f"{row.query} as {person}"):
                    asked, got = (call(world, person, row, method=each) for each in ("HEAD", "GET"))
                    assert asked.status_code == got.status_code
                    assert asked.getvalue() == b""


@for_each_call(lambda row: 404 in row.answers)
def test_what_is_a_strangers_looks_like_what_is_not_there(world, rows):
    with every_case() as case:
        for row in rows:
            with case(row.query):
                yours, nowhere = (
                    call(world, "stranger", row, ids=ids) for ids in (world.ids, world.nowhere())
                )
                assert (yours.status_code, yours.json()) == (nowhere.status_code, nowhere.json())
                assert _headers(yours) == _headers(nowhere)


def _headers(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.items() if name != "X-Request-ID"}


# The name and id of every organization are public, so that a user knows which to ask to join;
# metrics are for the operators; and a user with an invite code is no stranger.
TELLING = {"GET /api/orgs/all", "GET /metrics", "POST /api/orgs/join"}


@for_each_call(lambda row: row.call not in TELLING)
def test_a_stranger_learns_no_id_and_no_code(world, rows):
    with every_case() as case:
        for row in rows:
            with case(row.query), undone():
                shown = call(world, "stranger", row).getvalue().decode()
                leaked = {name for name, secret in world.ids.items() if secret in shown}
                assert leaked <= {"own_secret_name", "own_key_name"}  # each has one of that name
                assert "train" not in shown or row.path.startswith(("/swagger", "/openapi"))


@for_each_call()
def test_codes_are_shown_to_admins_only(world, rows):
    with every_case() as case:
        for row in rows:
            for person in PEOPLE:
                if person != "admin":
                    with case(f"{row.query} as {person}"), undone():
                        shown = call(world, person, row).getvalue().decode()
                        assert not [code for code in world.secrets if code in shown]


@pytest.mark.parametrize("path", sorted(every_path()))
def test_other_methods_are_answered_405(world, path):
    allowed, before = every_path()[path], fingerprint()
    with every_case() as case:
        for method in sorted({*METHODS, "OPTIONS", "TRACE", "BREW"} - allowed):
            with case(method):
                answer = world.client("admin").generic(method, path.format(**world.ids))
                assert answer.status_code == 405
                if path != "/swagger/":  # a page for people
                    assert error_body(answer)["code"] == "method_not_allowed"
                assert allowed <= {name.strip() for name in answer["Allow"].split(",")}
    assert fingerprint() == before


def test_paths_that_lead_nowhere(world):
    with every_case() as case:
        for path in ("/api", "/api/", "/api/nothing", "/nothing", "/api/clusters/1"):
            for method in ("GET", "POST", "DELETE"):
                with case(f"{method} {path}"):
                    answer = world.client("admin").generic(method, path)
                    assert answer.status_code == 404
                    assert error_body(answer)["code"] == "not_found"
