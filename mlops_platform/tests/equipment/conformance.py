"""Whether an answer is one that the OpenAPI document declares.

Every answer that a test's client gets is checked (organizations/tests/people.py), so a call that
answers what its schema does not say fails whichever test comes across it.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs

from mlops_platform import documents

PREFIX = "#/components/"


def faults_of(method: str, path: str, answer: Any) -> Iterator[str]:
    """What the document does not say of the answer, one sentence for each fault.

    Nothing for a path or method of which it does not speak, for HEAD, and for a 500, which only
    tests provoke.
    """
    found = _operation(path.removesuffix("/"), method.lower())
    if found is None or answer.status_code == 500:
        return
    status = str(answer.status_code)
    declared = found["responses"].get(status)
    if declared is None:
        yield f"the status {status} is not declared"
        return
    declared = _resolved(declared)
    for name, header in declared.get("headers", {}).items():
        if header.get("required") and name not in answer.headers:
            yield f"the header {name} is missing"
    content_type = answer.headers.get("Content-Type", "").partition(";")[0]
    content = declared.get("content", {})
    if not content:
        if not getattr(answer, "streaming", False) and answer.content:
            yield "it has a body, and none is declared"
    elif content_type not in content:
        yield f"the content type {content_type} is not declared"
    elif content_type == "application/json":
        validator = _validator(found["operationId"], status)
        for error in validator.iter_errors(answer.json()):
            where = "/".join(map(str, error.instance_path))
            yield f"the body at {where or 'its top'}: {error.message[:500]}"


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each path's pattern and operations; paths with fewer placeholders come first."""
    paths = documents.openapi()["paths"]
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[0-9A-Fa-f-]{36}", re.escape(path))), calls)
        for path, calls in sorted(paths.items(), key=lambda item: item[0].count("{"))
    ]


def _operation(path: str, method: str) -> dict[str, Any] | None:
    for pattern, calls in _operations():
        if pattern.fullmatch(path):
            call: dict[str, Any] | None = calls.get(method)
            return call
    return None


def _resolved(shown: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in shown:
        return shown
    kind, name = shown["$ref"].removeprefix(PREFIX).split("/")
    found: dict[str, Any] = documents.openapi()["components"][kind][name]
    return found


@cache
def _validator(operation_id: str, status: str) -> Any:
    """Of a body in JSON. Stricter than the document, which lets answers grow: an answer with a
    field that is not declared is at fault."""
    calls = (call for _, calls in _operations() for call in calls.values())
    [call] = [call for call in calls if call["operationId"] == operation_id]
    schema = _resolved(call["responses"][status])["content"]["application/json"]["schema"]
    schemas = documents.openapi()["components"]["schemas"]
    whole = {**_closed(schema), "components": {"schemas": _closed(schemas)}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items() if name != "examples"}
    if "properties" in schema and isinstance(schema.get("type"), str):
        closed.setdefault("additionalProperties", False)
    return closed
