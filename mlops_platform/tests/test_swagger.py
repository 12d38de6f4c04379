"""/swagger/ and /swagger.json: every call is told in full, to whoever looks."""

import pytest
from rest_framework.test import APIClient

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document():
    return APIClient().get("/swagger.json").json()


def calls(document):
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def has_example(schema, document):
    if "$ref" in schema:
        schema = document["definitions"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array" and "example" not in schema:
        return has_example(schema["items"], document)
    return "example" in schema


@pytest.mark.parametrize("path", ["/swagger/", "/swagger.json", "/swagger.json/"])
def test_it_is_public_and_a_stale_token_does_not_matter(path):
    client = APIClient(HTTP_AUTHORIZATION="Bearer stale")
    assert client.get(path).status_code == 200


def test_the_bearer_scheme_is_offered(document):
    assert document["securityDefinitions"]["Bearer"]["name"] == "Authorization"
    assert document["info"]["title"] == "MLOps platform"


def test_every_call_has_a_summary_a_tag_and_error_answers(document):
    for name, call in calls(document):
        assert call.get("summary"), name
        assert len(call["tags"]) == 1, name
        assert any(status.startswith("4") for status in call["responses"]), name
        assert any(status.startswith("2") for status in call["responses"]), name


def test_every_body_has_an_example(document):
    for name, call in calls(document):
        bodies = [given for given in call["parameters"] if given["in"] == "body"]
        answers = [answer for status, answer in call["responses"].items() if status < "4"]
        for holder in bodies + [answer for answer in answers if "schema" in answer]:
            assert "examples" in holder or has_example(holder["schema"], document), name


def test_calls_before_a_login_ask_for_no_token(document):
    open_calls = {name for name, call in calls(document) if call.get("security") == []}
    assert open_calls >= {
        "POST /users/register",
        "POST /users/login",
        "POST /users/refresh",
        "POST /users/logout",
    }
    for name, call in calls(document):
        assert ("401" in call["responses"]) or name == "POST /users/register", name


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere/", "/api/orgs/1/members"])
def test_what_is_not_there_is_said_in_json(path):
    answer = APIClient().get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
