"""The client has every call of the platform's own API document, and makes up none."""

from __future__ import annotations

import re
from inspect import get_annotations
from typing import Any

import pytest
from mlops_platform import documents
from mlops_platform.tests.equipment.deviations import every_case

from mlops.calls import Call, Described, Pages
from mlops.records import Record
from mlops.resources import RESOURCES

Document = dict[str, Any]
PLACE = re.compile(r"\{[^}]*\}")
MADE_OF_SEVERAL = {"Deployment": "SubmittedDeployment", "SubmitWarning": "Warning"}
"""Records whose schema has another name; a record has the fields of the widest schema."""
WIDEST = {"Node": "NodeInDetail", "Evicted": "Evicted"}


@pytest.fixture(scope="module")
def document() -> Document:
    return documents.openapi()


def calls_of_the_client() -> dict[tuple[str, str], Described]:
    described = (
        call
        for kind in RESOURCES.values()
        for call in vars(kind).values()
        if isinstance(call, Described)
    )
    return {(call.method, PLACE.sub("{}", call.path)): call for call in described}


def calls_of_the_document(document: Document) -> dict[tuple[str, str], Document]:
    return {
        (method.upper(), PLACE.sub("{}", path)): call
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        if method != "parameters"
    }


def kinds_of_records() -> list[type[Record]]:
    def below(kind: type[Record]) -> list[type[Record]]:
        return [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]

    return [kind for kind in below(Record) if kind.__module__.startswith("mlops.models.")]


def parameters(document: Document, call: Document, where: str) -> set[str]:
    shared = document["components"].get("parameters", {})
    found = (
        shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for each in call.get("parameters", [])
    )
    return {each["name"] for each in found if each["in"] == where}


def test_no_call_is_missing(document: Document) -> None:
    missing = calls_of_the_document(document).keys() - calls_of_the_client().keys()
    wanted = [f"{method} {path}" for method, path in sorted(missing)]
    assert not wanted, f"Each needs a line in client/src/mlops/resources.py: {wanted}"


def test_no_call_is_made_up(document: Document) -> None:
    assert not calls_of_the_client().keys() - calls_of_the_document(document).keys()


def test_a_call_is_made_once_in_the_table() -> None:
    described = [
        call
        for kind in RESOURCES.values()
        for call in vars(kind).values()
        if isinstance(call, Described)
    ]
    assert len(described) == len(calls_of_the_client())


def test_lists_are_read_in_pages_and_submits_have_a_key(document: Document) -> None:
    known = calls_of_the_client()
    with every_case() as case:
        for name, call in calls_of_the_document(document).items():
            with case(" ".join(name)):
                mine = known[name]
                paged = {"limit", "cursor"} <= parameters(document, call, "query")
                assert isinstance(mine, Pages) == paged
                keyed = "Idempotency-Key" in parameters(document, call, "header")
                assert (isinstance(mine, Call) and mine.keyed) == keyed


def test_what_a_call_sends_as_query_beside_a_body_is_in_its_line(document: Document) -> None:
    known = calls_of_the_client()
    with every_case() as case:
        for name, call in calls_of_the_document(document).items():
            if "requestBody" in call:
                with case(" ".join(name)):
                    assert set(known[name].query) == parameters(document, call, "query")


def test_every_field_of_a_record_is_in_the_document_with_its_type(document: Document) -> None:
    schemas = document["components"]["schemas"]
    with every_case() as case:
        for kind in kinds_of_records():
            name = kind.__name__
            name = MADE_OF_SEVERAL.get(name, WIDEST.get(name, name))
            for field, annotation in get_annotations(kind).items():
                with case(f"{name}.{field}"):
                    shown = schemas[name]["properties"][field]
                    assert kinds_in(annotation) == types_of(shown, schemas)


def test_no_field_is_hidden_by_a_method_of_records(document: Document) -> None:
    methods = {name for name in dir(Record) if not name.startswith("_")}
    schemas = document["components"]["schemas"]
    fields = {field for each in schemas.values() for field in each.get("properties", {})}
    assert not methods & fields


def kinds_in(annotation: str) -> set[str]:
    """What JSON the annotation stands for: `datetime | None` is a time or null."""
    known = {
        "str": "string",
        "int": "integer",
        "float": "number",
        "bool": "boolean",
        "None": "null",
        "datetime": "date-time",
        "list": "array",
        "dict": "object",
    }
    outside = re.sub(r"\[.*\]", "", annotation)
    return {known.get(word, "object") for word in re.findall(r"\w+", outside)}


def types_of(shown: Document, schemas: Document) -> set[str]:
    if "$ref" in shown:
        return types_of(schemas[shown["$ref"].rpartition("/")[2]], schemas)
    for several in ("allOf", "anyOf"):
        if several in shown:
            return set().union(*(types_of(each, schemas) for each in shown[several]))
    types = shown["type"] if isinstance(shown["type"], list) else [shown["type"]]
    time = shown.get("format") == "date-time"
    return {"date-time" if each == "string" and time else each for each in types}
