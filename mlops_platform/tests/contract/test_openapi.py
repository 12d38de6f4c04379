"""/openapi.json says in OpenAPI 3.1 what /swagger.json says, and more exactly."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml
from openapi_spec_validator import validate
from rest_framework.test import APIClient

from mlops_platform.tests.equipment.deviations import every_case
from mlops_platform.tests.equipment.routes import api_routes

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    shown: Document = APIClient().get("/openapi.json").json()
    return shown


@pytest.fixture(scope="module")
def swagger() -> Document:
    shown: Document = APIClient().get("/swagger.json").json()
    return shown


def calls_of(document: Document) -> Iterator[tuple[str, Document]]:
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if method != "parameters":
                yield f"{method.upper()} {document.get('basePath', '')}{path}", call


def resolved(document: Document, shown: Document) -> Document:
    while "$ref" in shown:
        found: Any = document
        for part in shown["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        shown = found
    return shown


def test_the_document_is_valid(document):
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_it_describes_every_call_and_nothing_else(document):
    assert {name for name, _ in calls_of(document)} == {str(route) for route in api_routes()}


def test_both_documents_name_the_same_answers_and_the_same_operations(document, swagger):
    calls, older = dict(calls_of(document)), dict(calls_of(swagger))
    with every_case() as case:
        for name, call in calls.items():
            with case(name):
                assert call["operationId"] == older[name]["operationId"]
                assert set(call["responses"]) == set(older[name]["responses"])


@pytest.mark.parametrize("name", ["swagger", "openapi"])
def test_the_yaml_says_the_same(name):
    client = APIClient()
    text = client.get(f"/{name}.yaml").content
    assert yaml.load(text, yaml.CSafeLoader) == client.get(f"/{name}.json").json()


def test_names_of_the_calls_most_used(document):
    names = {name: call["operationId"] for name, call in calls_of(document)}
    assert names["POST /api/deployments"] == "deployments_submit"
    assert names["GET /api/deployments/{deployment_id}"] == "deployments_get"
    assert names["GET /api/clusters"] == "clusters_list"
    assert names["POST /api/users/login"] == "users_login"


def test_an_error_is_always_the_same_schema(document):
    with every_case() as case:
        for name, call in calls_of(document):
            for status, shown in call["responses"].items():
                if status >= "4":
                    with case(f"{name} {status}"):
                        content = resolved(document, shown)["content"]["application/json"]
                        assert content["schema"] == {"$ref": "#/components/schemas/Error"}
                        assert {"detail", "code"} <= set(content["example"])


def test_what_is_refused_for_load_says_when_to_try_again(document):
    with every_case() as case:
        for name, call in calls_of(document):
            for status in {"429", "503"} & set(call["responses"]):
                with case(f"{name} {status}"):
                    headers = resolved(document, call["responses"][status])["headers"]
                    assert headers["Retry-After"]["required"]


def test_a_list_names_its_next_page(document):
    lists = {str(route) for route in api_routes() if route.pages}
    with every_case() as case:
        for name, call in calls_of(document):
            with case(name):
                assert ("Link" in call["responses"].get("200", {}).get("headers", {})) == (
                    name in lists
                )


def test_a_token_is_a_bearer_token(document):
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["security"] == [{name: []}]


def test_an_enumeration_has_a_name(document):
    schemas = document["components"]["schemas"]
    assert set(schemas["DeploymentStatus"]["enum"]) >= {"QUEUED", "RUNNING", "FAILED"}
    status = schemas["Deployment"]["properties"]["status"]
    assert status == {"allOf": [{"$ref": "#/components/schemas/DeploymentStatus"}]}


def test_null_is_told_from_what_is_never_null(document):
    properties = document["components"]["schemas"]["Deployment"]["properties"]
    assert properties["exit_code"]["type"] == ["integer", "null"]
    assert {"type": "null"} in properties["reason"]["anyOf"]
    assert properties["replicas"]["type"] == "integer"


def test_an_object_says_nothing_of_the_fields_that_have_it(document):
    with every_case() as case:
        for name, schema in document["components"]["schemas"].items():
            with case(name):
                assert schema["type"] in ("object", "string")
                assert not {"description", "default"} & set(schema)


def test_details_have_values_of_any_type(document):
    schemas = document["components"]["schemas"]
    for name in ("Reason", "Event"):
        assert schemas[name]["properties"]["details"]["additionalProperties"] is True


def test_a_body_refuses_fields_that_it_does_not_name(document):
    assert document["components"]["schemas"]["Submit"]["additionalProperties"] is False


def test_a_new_thing_links_to_the_calls_that_take_its_id(document):
    answer = document["paths"]["/api/clusters"]["post"]["responses"]["201"]
    assert answer["links"]["clusters_get"]["parameters"] == {"cluster_id": "$response.body#/id"}


def test_every_example_is_an_example_of_its_schema(document):
    schemas = document["components"]["schemas"]
    with every_case() as case:
        for name, schema in schemas.items():
            whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
            validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
            for example in schema.get("examples", ()):
                with case(f"{name}: {json.dumps(example)[:100]}"):
                    assert [error.message for error in validator.iter_errors(example)] == []
