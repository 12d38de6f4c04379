"""/swagger.json describes every call in full and is valid; /swagger/ shows it without a login."""

import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from rest_framework.test import APIClient
from swagger_spec_validator.validator20 import validate_spec

from mlops_platform.api.schema import TAGS
from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.routes import Route, api_routes

Document = dict[str, Any]
BY_MAIL = {"POST /api/auth/email/verify", "POST /api/auth/password/reset"}  # always done later


@pytest.fixture(scope="module")
def document() -> Document:
    shown: Document = APIClient().get("/swagger.json").json()
    return shown


def operation(document: Document, route: Route) -> dict[str, Any]:
    path = route.path.removeprefix(document["basePath"])
    found: dict[str, Any] = document["paths"][path][route.method.lower()]
    return found


def has_example(schema: dict[str, Any], document: Document) -> bool:
    if "$ref" in schema:
        schema = document["definitions"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array" and "example" not in schema:
        return has_example(schema["items"], document)
    return "example" in schema


def test_the_document_is_valid(document):
    validate_spec(deepcopy(document))  # it leaves marks


def test_it_describes_every_call_and_nothing_else(document):
    shown = {
        f"{method.upper()} {document['basePath']}{path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert shown == {str(route) for route in api_routes()}


def test_a_call_has_a_summary_and_a_known_tag(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                call = operation(document, route)
                assert call["summary"]
                assert len(call["tags"]) == 1
                assert call["tags"][0] in TAGS


def test_a_call_says_which_role_it_needs(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                last = operation(document, route)["description"].rpartition("\n")[2]
                if route.role is not None:
                    assert last.startswith(f"Needs the role {route.role}")
                else:
                    assert last == ("Needs no token." if route.is_open else "Any user may call it.")


def may_be_a_dry_run(route):
    return route.serializer is not None and "dry_run" in route.serializer().fields


def test_a_success_has_a_schema_with_an_example_or_no_body(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                call = operation(document, route)
                successes = {
                    status: shown for status, shown in call["responses"].items() if status < "3"
                }
                at_once = successes.keys() - {"202"}  # or accepted and done later
                may_make_nothing = route.method == "PUT" or may_be_a_dry_run(route)
                if str(route) in BY_MAIL:
                    assert successes.keys() == {"202"}
                    assert "schema" not in successes["202"]
                    continue
                assert len(at_once) == 1 or (may_make_nothing and at_once == {"200", "201"})
                for status, shown in successes.items():
                    if status in {"204", "205"}:
                        assert "schema" not in shown
                    else:
                        assert "examples" in shown or has_example(shown["schema"], document)


def test_a_body_has_a_schema_with_an_example(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                bodies = [
                    given
                    for given in operation(document, route)["parameters"]
                    if given["in"] == "body"
                ]
                assert len(bodies) == (route.serializer is not None)
                for body in bodies:
                    assert has_example(body["schema"], document)


def test_the_errors_that_apply_are_documented_with_examples(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                call = operation(document, route)
                shown = {status for status in call["responses"] if status >= "4"}
                expected = {"400", "406", "408", "413", "429", "431", "503"}
                if route.serializer is not None:
                    expected |= {"415"}
                if not route.is_open:
                    expected |= {"401"}
                if "{" in route.path:
                    expected |= {"404"}
                    if route.method != "GET" and route.role is not None:
                        expected |= {"403"}
                assert expected <= shown
                for status in shown:
                    answer = call["responses"][status]
                    assert {"detail", "code"} <= set(answer["examples"]["application/json"]), status
                    assert answer["schema"] == {"$ref": "#/definitions/Error"}


def test_a_call_asks_for_the_bearer_token_unless_it_comes_before_a_login(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                security = operation(document, route).get("security", document["security"])
                assert security == ([] if route.is_open else [{"Bearer": []}])


def test_a_list_documents_how_to_page_it(document):
    with every_case() as case:
        for route in api_routes():
            with case(route):
                names = {given["name"] for given in operation(document, route)["parameters"]}
                assert (names >= {"limit", "cursor"}) == route.pages


def test_names_for_generated_clients_are_readable_and_each_its_own(document):
    names = [operation(document, route)["operationId"] for route in api_routes()]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        words = name.split("_")
        assert all(one != other for one, other in pairwise(words)), name


def test_the_bearer_scheme_is_offered(document):
    assert document["info"]["title"] == "MLOps platform"
    assert set(document["securityDefinitions"]) == {"Bearer"}
    bearer = document["securityDefinitions"]["Bearer"]
    assert (bearer["type"], bearer["in"], bearer["name"]) == ("apiKey", "header", "Authorization")


PAGES = ["/swagger/", "/swagger/?format=openapi", "/swagger.json", "/swagger.json/"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("token", [None, "Bearer stale"])
def test_it_is_public_and_a_stale_token_does_not_matter(path, token):
    client = APIClient(**({"HTTP_AUTHORIZATION": token} if token else {}))
    assert client.get(path).status_code == 200


def test_all_addresses_answer_the_same(document):
    for path in PAGES[1:]:
        assert APIClient().get(path).json() == document


def test_without_its_slash_the_page_is_found_too():
    answer = APIClient().get("/swagger")
    assert (answer.status_code, answer["Location"]) == (301, "/swagger/")


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline():
    """Its files come with the packages, so it works without the internet and under our policy."""
    html = APIClient(HTTP_ACCEPT="text/html").get("/swagger/").content.decode()
    loaded: list[str] = re.findall(r"""(?:src|href)=["']([^"']*)["']""", html)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)
    assert "://" not in html
    for attributes, content in scripts(html):
        assert 'type="application/json"' in attributes or not content.strip()


def scripts(html: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
