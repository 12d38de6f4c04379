"""Turns the Swagger 2.0 document into OpenAPI 3.1, whose schemas are JSON Schema 2020-12.

OpenAPI 3.1 says what Swagger 2.0 has no words for: null beside a type, names of enumerations,
headers that are always there, and links from an answer to the calls that take its id.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from django.db.models import TextChoices

from mlops_platform.api.errors import JSON

Document = dict[str, Any]

VERSION = "3.1.0"
METHODS = ("get", "post", "put", "patch", "delete")
# What a parameter's own schema says in Swagger 2.0.
_OF_A_TYPE = (
    "type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "items", "multipleOf",
)  # fmt: skip
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The access token that login answered.",
}


def convert(swagger: Document) -> Document:
    """The same document in OpenAPI 3.1. `swagger` stays as it is."""
    schemas: Document = {}
    for name, schema in swagger["definitions"].items():
        schemas[name] = _schema(schema, schemas)
    base = swagger["basePath"].rstrip("/")
    paths: Document = {}
    for path, shared in swagger["paths"].items():
        paths[base + path] = {
            method: _operation(call, shared.get("parameters", []), schemas)
            for method, call in shared.items()
            if method in METHODS
        }
    _add_links(paths, schemas)
    return {
        "openapi": VERSION,
        "info": swagger["info"],
        "servers": [{"url": "/"}],
        "tags": swagger["tags"],
        "security": swagger["security"],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            **_share(paths),
            "securitySchemes": {"Bearer": BEARER},
        },
    }


def _schema(schema: Document, schemas: Document) -> Document:
    """A schema; the enumerations in it that have names are added to `schemas`."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/definitions/", "#/components/schemas/")}
    made: Document = {}
    for key, value in schema.items():
        if key in ("items", "additionalProperties") and isinstance(value, dict):
            made[key] = _schema(value, schemas)
        elif key == "properties":
            made[key] = {name: _schema(each, schemas) for name, each in value.items()}
        elif key == "allOf":
            made[key] = [_schema(each, schemas) for each in value]
        elif key == "example":
            made["examples"] = [value]
        elif key not in ("title", "x-nullable", "x-also"):
            made[key] = value
    if name := _enum_names().get(tuple(schema.get("enum", ()))):
        schemas[name] = {"type": made.pop("type"), "enum": made.pop("enum")}
        made["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
    elif "allOf" in made:
        made.pop("type", None)  # it is that of the schema referred to
    if pattern := made.pop("x-text-pattern", None):
        made |= {"type": [made["type"], "string"], "pattern": pattern}
    if "x-also" in schema:
        made = _or_word(made, schema["x-also"])
    if schema.get("x-nullable"):
        made = _or_null(made)
    return made


@cache
def _enum_names() -> dict[tuple[str, ...], str]:
    """The models' enumerations by their values: `NodeState`, `ClusterState`.

    A name of one word, such as `State`, follows that of its app.
    """
    names: dict[tuple[str, ...], str] = {}
    for each in TextChoices.__subclasses__():
        app = each.__module__.partition(".")[0].removesuffix("s").capitalize()
        words = sum(letter.isupper() for letter in each.__name__)
        names[tuple(each.values)] = each.__name__ if words > 1 else f"{app}{each.__name__}"
    return names


def _or_null(schema: Document) -> Document:
    if "allOf" in schema:
        return {"anyOf": [*schema.pop("allOf"), {"type": "null"}], **schema}
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*types, "null"]}


def _or_word(schema: Document, word: str) -> Document:
    """The number, or the word: Swagger 2.0 cannot say so, and has it in an extension."""
    number = {name: schema.pop(name) for name in ("type", "minimum", "maximum") if name in schema}
    return {**schema, "anyOf": [number, {"type": "string", "enum": [word]}]}


def _operation(call: Document, of_path: list[Document], schemas: Document) -> Document:
    made: Document = {
        key: call[key]
        for key in ("operationId", "summary", "description", "tags", "security")
        if key in call
    }
    parameters = [*of_path, *call["parameters"]]
    made["parameters"] = [_parameter(each, schemas) for each in parameters if each["in"] != "body"]
    for each in parameters:
        if each["in"] == "body":
            content = {kind: {"schema": _schema(each["schema"], schemas)} for kind in [JSON]}
            made["requestBody"] = {"required": each["required"], "content": content}
    made["responses"] = {
        status: _response(answer, schemas) for status, answer in sorted(call["responses"].items())
    }
    return made


def _parameter(parameter: Document, schemas: Document) -> Document:
    of_type = {key: value for key, value in parameter.items() if key in _OF_A_TYPE}
    made = {key: value for key, value in parameter.items() if key not in _OF_A_TYPE}
    made.pop("collectionFormat", None)  # "multi", as it is without any word here
    return {**made, "schema": _schema(of_type, schemas)}


def _response(answer: Document, schemas: Document) -> Document:
    made: Document = {"description": answer["description"] or "Done"}
    if headers := answer.get("headers"):
        made["headers"] = {name: _header(each) for name, each in headers.items()}
    if "schema" in answer:
        examples = answer.get("examples") or {JSON: None}
        schema = _schema(answer["schema"], schemas)
        made["content"] = {
            kind: {
                "schema": schema if kind == JSON else {"type": "string"},
                **({} if example is None else {"example": example}),
            }
            for kind, example in examples.items()
        }
    return made


def _header(header: Document) -> Document:
    made = {"description": header["description"], "schema": {"type": header["type"]}}
    return {**made, "required": True} if header.get("x-required") else made


def _add_links(paths: Document, schemas: Document) -> None:
    """Links from each answer with a new id to the calls whose path takes it."""
    for path, calls in paths.items():
        answer = calls.get("post", {}).get("responses", {}).get("201", {})
        schema = answer.get("content", {}).get(JSON, {}).get("schema", {})
        known = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
        if "id" not in known.get("properties", {}):
            continue
        links = {}
        for other, own in _below(path, paths):
            for call in paths[other].values():
                links[call["operationId"]] = {
                    "operationId": call["operationId"],
                    "parameters": {own: f"$response.body#/{_told(own)}", **_same(path)},
                }
        if links:
            answer["links"] = links


def _told(parameter: str) -> str:
    """The field of an answer that a path's parameter takes."""
    return "name" if parameter.endswith("_name") else "id"


def _below(path: str, paths: Document) -> Iterator[tuple[str, str]]:
    """The paths of one thing of a collection and right below it, with the name of its id."""
    for other in paths:
        if found := re.fullmatch(re.escape(path) + r"/\{(\w+)\}(/[\w-]+)?", other):
            yield other, found[1]


def _same(path: str) -> Mapping[str, str]:
    """The ids above it, as the first call had them."""
    return {name: f"$request.path.{name}" for name in re.findall(r"\{(\w+)\}", path)}


def _share(paths: Document) -> Document:
    """Moves each parameter and each error that several calls have alike into the components.

    An error is named by its code: `NotAuthenticated`. Of several with one code, the one that most
    calls have is shared.
    """
    calls = [call for of_path in paths.values() for call in of_path.values()]
    parameters: Document = {}
    responses: Document = {}
    for name, shared in _most_common(
        (each["name"], each) for call in calls for each in call["parameters"]
    ):
        parameters[name] = shared
    for code, shared in _most_common(
        (_code_of(each), each) for call in calls for each in call["responses"].values()
    ):
        responses["".join(word.capitalize() for word in code.split("_"))] = shared
    for call in calls:
        call["parameters"] = [_ref("parameters", each, parameters) for each in call["parameters"]]
        call["responses"] = {
            status: _ref("responses", each, responses) for status, each in call["responses"].items()
        }
    return {"parameters": parameters, "responses": responses}


def _code_of(answer: Document) -> str:
    """The code of an error; empty for any other answer."""
    example = answer.get("content", {}).get(JSON, {}).get("example")
    return str(example.get("code", "")) if isinstance(example, dict) else ""


def _most_common(named: Iterator[tuple[str, Document]]) -> Iterator[tuple[str, Document]]:
    """Of each name, the form that is most frequent, where there are two of it or more."""
    counts: dict[str, Counter[str]] = {}
    forms: dict[str, Document] = {}
    for name, form in named:
        if name:
            counts.setdefault(name, Counter())[repr(form)] += 1
            forms[repr(form)] = form
    for name, of_name in sorted(counts.items()):
        ((written, count),) = of_name.most_common(1)
        if count > 1:
            yield name, forms[written]


def _ref(kind: str, each: Document, shared: Document) -> Document:
    for name, one in shared.items():
        if one == each:
            return {"$ref": f"#/components/{kind}/{name}"}
    return each
