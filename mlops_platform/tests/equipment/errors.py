"""The shape that every error answer of the API has."""

from typing import Any


def error_body(answer: Any) -> dict[str, Any]:
    """The body of an error answer, after a check of its shape."""
    assert answer["Content-Type"].startswith("application/json"), answer["Content-Type"]
    body: dict[str, Any] = answer.json()
    assert {"detail", "code"} <= set(body) <= {"detail", "code", "fields"}, body
    assert isinstance(body["detail"], str), body
    assert body["detail"], body
    assert isinstance(body["code"], str), body
    return body
