"""Every call by every person: the status, what it may show, and that a refusal changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from mlops_platform.tests.equipment.routes import METHODS, every_path, every_route
from mlops_platform.tests.equipment.world import PEOPLE, World, fingerprint
from mlops_platform.tests.input.matrix import MATRIX, Row


def rows(wanted: Callable[[Row], bool]) -> list[Any]:
    return [pytest.param(row, id=f"{row.call}{row.query}") for row in MATRIX if wanted(row)]


CASES = [
    pytest.param(row, person, status, id=f"{row.call}{row.query} as {person}")
    for row in MATRIX
    for person, status in zip(PEOPLE, row.answers, strict=True)
]


def call(world: World, person: str, row: Row, slash: str = "", **changed: Any) -> Any:
    """The row's request as `person`; `ids` for others than the world's."""
    ids = changed.pop("ids", world.ids)
    path = row.path.format(**ids).rstrip("/") + slash if slash else row.path.format(**ids)
    send = getattr(world.client(person), changed.pop("method", row.method).lower())
    return send(path + row.query.format(**ids), row.filled_body(ids))


def told_as_an_error(answer: Any) -> dict[str, Any]:
    """The body, which has the shape of every error."""
    assert answer["Content-Type"].startswith("application/json"), answer["Content-Type"]
    body: dict[str, Any] = answer.json()
    assert {"detail", "code"} <= set(body) <= {"detail", "code", "fields"}, body
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert isinstance(body["code"], str)
    return body


def test_every_route_has_a_row_and_every_row_a_route():
    assert {row.call for row in MATRIX} == {str(route) for route in every_route()}


ROUTES = {str(route): route for route in every_route()}


@pytest.mark.parametrize("row", rows(lambda row: row.path.startswith("/api/")))
def test_the_role_that_the_viewset_names_is_the_lowest_that_is_let_in(row):
    """Swagger shows the same: it reads the viewset's table too."""
    answers = zip(PEOPLE[1:], row.answers[1:], strict=True)
    lowest = next(person for person, status in answers if status not in {403, 404})
    assert ROUTES[row.call].role == (None if lowest == "stranger" else lowest.upper())


@pytest.mark.parametrize(("row", "person", "status"), CASES)
def test_each_person_gets_their_answer(world, row, person, status):
    before = fingerprint()
    for slash in ("", "/"):
        with transaction.atomic():
            answer = call(world, person, row, slash)
            assert answer.status_code == status, answer.content[:500]
            if status >= 400:
                told_as_an_error(answer)
            if status >= 400 or row.method == "GET" or not row.writes:
                assert fingerprint() == before
            else:
                assert fingerprint() != before
            transaction.set_rollback(True)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("row", rows(lambda row: row.method == "GET"))
def test_head_answers_as_get_without_the_body(world, row, person):
    asked, got = (call(world, person, row, method=method) for method in ("HEAD", "GET"))
    assert asked.status_code == got.status_code
    assert asked.getvalue() == b""


@pytest.mark.parametrize("row", rows(lambda row: 404 in row.answers))
def test_what_is_a_strangers_looks_like_what_is_not_there(world, row):
    yours, nowhere = (call(world, "stranger", row, ids=ids) for ids in (world.ids, world.nowhere()))
    assert (yours.status_code, yours.json()) == (nowhere.status_code, nowhere.json())
    assert _headers(yours) == _headers(nowhere)


def _headers(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.items() if name != "X-Request-ID"}


# The name and id of every organization are for all to see, so that one knows what to ask to join;
# metrics are for the operators; and a user with a code is no stranger.
TELLING = {"GET /api/orgs/all", "GET /metrics", "POST /api/orgs/join"}


@pytest.mark.parametrize("row", rows(lambda row: row.call not in TELLING))
def test_a_stranger_learns_no_id_and_no_code(world, row):
    shown = call(world, "stranger", row).getvalue().decode()
    for name, secret in world.ids.items():
        assert secret not in shown, name
    assert "train" not in shown or row.path.startswith("/swagger")


@pytest.mark.parametrize("person", [person for person in PEOPLE if person != "admin"])
@pytest.mark.parametrize("row", rows(lambda row: True))
def test_codes_are_shown_to_admins_only(world, row, person):
    shown = call(world, person, row).getvalue().decode()
    assert not [code for code in world.secrets if code in shown]


@pytest.mark.parametrize("path", sorted(every_path()))
def test_other_methods_are_told_405(world, path):
    allowed, before = every_path()[path], fingerprint()
    for method in {*METHODS, "OPTIONS", "TRACE", "BREW"} - allowed:
        answer = world.client("admin").generic(method, path.format(**world.ids))
        assert answer.status_code == 405, method
        if path != "/swagger/":  # a page for people
            assert told_as_an_error(answer)["code"] == "method_not_allowed"
        assert allowed <= {name.strip() for name in answer["Allow"].split(",")}
    assert fingerprint() == before


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/nothing", "/api/clusters/1"])
def test_paths_that_lead_nowhere(world, path, method):
    answer = world.client("admin").generic(method, path)
    assert answer.status_code == 404
    assert told_as_an_error(answer)["code"] == "not_found"
