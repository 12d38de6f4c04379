"""The check that each answer to a test's client goes through finds what the document leaves out;
and each call gives those answers that any call can give."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse

from mlops_platform import documents
from mlops_platform.tests.equipment.conformance import faults_of
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.routes import Route, api_routes
from mlops_platform.tests.equipment.world import World, undone
from mlops_platform.tests.input.matrix import ROW_OF

ROUTES = [pytest.param(route, id=str(route)) for route in api_routes()]
WITHOUT_QUERIES = "POST /api/auth/password/reset"  # its answer must not depend on what users exist
ID = "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"
PATH = f"/api/orgs/{ID}/members"
MEMBER = {"user_id": ID, "username": "ada", "role": "ADMIN", "joined_at": "2026-03-01T09:00:00Z"}


class Answer(HttpResponse):
    """An answer as the tests' client hands it on."""

    def json(self) -> Any:
        return json.loads(self.content)


def faults(body: Any, status: int = 200, **headers: str) -> list[str]:
    text = json.dumps(body)
    answer = Answer(text, status=status, content_type="application/json", headers=headers or None)
    return list(faults_of("GET", PATH, answer))


def test_an_answer_as_declared_has_no_fault():
    assert faults([MEMBER]) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([{**MEMBER, "role": "OWNER"}], "0/role"),
        ([{**MEMBER, "user_id": "7"}], "0/user_id"),
        ([{**MEMBER, "joined_at": None}], "0/joined_at"),
        ([{**MEMBER, "more": 1}], "more"),
        ([{"user_id": ID}], "username"),
        ({}, "the body at its top"),
    ],
)
def test_a_body_that_deviates_is_found(body, said):
    found = faults(body)
    assert found
    assert any(said in each for each in found)


def test_a_status_that_is_not_declared_is_found():
    assert faults({"detail": "Gone", "code": "gone"}, 410) == ["the status 410 is not declared"]


def test_a_header_that_is_missing_is_found():
    body = {"detail": "The database is away.", "code": "database_unavailable"}
    assert faults(body, 503) == ["the header Retry-After is missing"]
    assert faults(body, 503, **{"Retry-After": "5"}) == []


def test_another_content_type_is_found():
    answer = Answer("x", content_type="text/html")
    assert list(faults_of("GET", PATH, answer)) == ["the content type text/html is not declared"]


@pytest.fixture
def unthrottled(anyone, monkeypatch):
    for scope in anyone.rates():
        monkeypatch.setitem(anyone.rates(), scope, None)


def send(world: World, route: Route, **headers: Any) -> Any:
    """The call's valid request by an ADMIN; its answer is checked on the way."""
    row = ROW_OF[str(route)]
    body = row.filled_body(world.ids)
    text = "" if body is None else json.dumps(body)
    path = row.path.format(**world.ids) + row.query.format(**world.ids)
    client = world.client("admin")
    return client.generic(route.method, path, text, content_type="application/json", **headers)


@pytest.mark.parametrize("route", ROUTES)
def test_another_type_of_answer_is_not_to_be_had(world, unthrottled, route):
    with undone():
        answer = send(world, route, HTTP_ACCEPT="image/png")
    assert answer.status_code == 406
    assert error_body(answer)["code"] == "not_acceptable"


@pytest.mark.parametrize("accepted", ["text/plain", "text/*", "*/*", "application/json"])
def test_a_log_is_plain_text_and_a_refusal_json(world, accepted):
    client = world.client("viewer")
    path = "/api/deployments/{deployment_id}/logs"
    found = client.get(path.format(**world.ids), HTTP_ACCEPT=accepted)
    assert (found.status_code, found["Content-Type"]) == (200, "text/plain; charset=utf-8")
    refused = client.get(path.format(**world.nowhere()), HTTP_ACCEPT=accepted)
    assert refused.status_code == 404
    assert error_body(refused)["code"] == "not_found"


@pytest.mark.parametrize("route", ROUTES)
def test_any_call_is_refused_with_a_body_above_the_limit(world, settings, route):
    answer = send(world, route, CONTENT_LENGTH=str(settings.MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


@pytest.fixture
def no_database(world) -> Iterator[None]:
    def refuse(*args: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with undone(), connection.execute_wrapper(refuse):
        yield


@pytest.mark.parametrize("route", [each for each in ROUTES if each.id != WITHOUT_QUERIES])
def test_any_call_answers_503_while_the_database_is_away(no_database, world, unthrottled, route):
    answer = send(world, route)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"


def test_a_forgotten_password_is_asked_for_without_the_database(no_database, world, unthrottled):
    route = next(each for each in api_routes() if str(each) == WITHOUT_QUERIES)
    answer = send(world, route)
    assert (answer.status_code, error_body(answer)["code"]) == (409, "no_mail")


LINKS = [
    pytest.param(route, link, id=f"{route}: {name}")
    for route in api_routes()
    for name, link in documents.openapi()["paths"][route.path][route.method.lower()]["responses"]
    .get("201", {})
    .get("links", {})
    .items()
    if name.endswith(("_get", "_list", "_queue", "_explain"))
]


def path_of(operation_id: str) -> str:
    for path, calls in documents.openapi()["paths"].items():
        if any(call["operationId"] == operation_id for call in calls.values()):
            return str(path)
    raise LookupError(operation_id)


@pytest.mark.parametrize(("route", "link"), LINKS)
def test_a_link_leads_to_a_call_that_takes_the_new_id(world, route, link):
    path = path_of(link["operationId"])
    with undone():
        made = send(world, route)
        if made.status_code == 409:  # no registry in a simulated cluster
            return
        assert made.status_code == 201
        told = {
            name: made.json()[where.removeprefix("$response.body#/")]
            for name, where in link["parameters"].items()
            if where.startswith("$response.body#/")
        }
        assert len(told) == 1
        ids = {**world.ids, **told}
        shown = world.client("admin").get(path.format(**ids))
        assert shown.status_code == 200
