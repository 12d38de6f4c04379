"""The words of the documents: title, tags, each call's text, and the errors that calls share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drf_yasg import openapi
from rest_framework import serializers

from mlops_platform import __version__
from mlops_platform.api.errors import FAULTY, JSON, NOT_FOUND

INFO = openapi.Info(
    title="MLOps platform",
    default_version=__version__,
    description=(
        "Clusters, deployments and the scheduler between them. Register, log in, press Authorize "
        "and paste `Bearer <access_token>`; every call below then runs as you."
    ),
)

# In the order in which a new user needs them.
TAGS = {
    "users": "Register, log in, your profile.",
    "organizations": "Members, roles, invite codes.",
    "keys": "API keys, with which programs call the platform.",
    "secrets": "Values that containers get and no answer shows.",
    "webhooks": "Events, sent to addresses of an organization's own.",
    "volumes": "What deployments of a cluster can mount.",
    "windows": "Maintenance that is planned: when nodes of a cluster take nothing.",
    "clusters": "Capacity, nodes, queues and the ledger of decisions.",
    "nodes": "The machines that a cluster is made of, where it is more than a pool.",
    "deployments": "What shall run: submit, watch, change, stop.",
    "sweeps": "One template with many sets of parameters: submit, follow, stop, retry.",
    "ledger": "What the scheduler decided, and on what grounds.",
}


class ErrorSerializer(serializers.Serializer):
    """The body of every error (errors.py)."""

    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="A token for programs.")
    fields = serializers.DictField(  # type: ignore[assignment]  # DRF takes declared fields away
        required=False,
        help_text="Sentences by the name of the field at fault; nested where the field nests.",
    )

    class Meta:
        ref_name = "Error"
        swagger_schema_fields = {"example": {"detail": NOT_FOUND, "code": "not_found"}}


def header(kind: str, description: str, *, always: bool = False) -> dict[str, Any]:
    """A header of an answer; `always`: each answer of that status has it."""
    return {"type": kind, "description": description, **({"x-required": True} if always else {})}


RETRY_AFTER = {
    "Retry-After": header("integer", "Seconds until another try is worth it.", always=True)
}
CHALLENGE = {"WWW-Authenticate": header("string", "The scheme: Bearer.", always=True)}
NEXT_PAGE = {
    "Link": header("string", 'The next page: `<address>; rel="next"`. The last page has none.')
}


def error(description: str, code: str, detail: str, **fields: Any) -> openapi.Response:
    """An error answer with its example body."""
    body: dict[str, Any] = {"detail": detail, "code": code}
    if fields:
        body["fields"] = fields
    return openapi.Response(description, ErrorSerializer, examples={JSON: body})


def not_there(description: str = "Not there, or not yours", **fields: Any) -> openapi.Response:
    return error(description, "not_found", NOT_FOUND, **fields)


def parameter(
    name: str, kind: str, description: str, *, at: str = openapi.IN_QUERY, **limits: Any
) -> openapi.Parameter:
    """`limits` are what JSON Schema calls `minimum`, `maximum`, `format`, `pattern`."""
    return openapi.Parameter(name, at, type=kind, description=description, **limits)


@dataclass(frozen=True)
class Doc:
    """What Swagger says of one call, beyond what ApiSchema finds out by itself."""

    tag: str
    summary: str
    description: str = ""
    parameters: Sequence[openapi.Parameter] = ()
    answers: Mapping[int, Any] = field(default_factory=dict)
    operation_id: str = ""


MALFORMED = error("Malformed or invalid", "invalid", FAULTY, field=["A valid number is required."])
BAD_QUERY = error("A faulty parameter", "invalid", FAULTY, limit=["A whole number from 1 to 1000."])
UNREADABLE = error("The request cannot be read", "bad_request", "The request cannot be read.")
NO_TOKEN = error(
    "No token, or a bad one",
    "not_authenticated",
    "Authentication credentials were not provided.",
)
BEYOND_THE_KEY = error(
    "An API key of too low a scope (scope_too_low), or a call for which no key counts "
    "(not_with_a_key)",
    "scope_too_low",
    "This needs a key of the scope manage; this one's is read.",
)
NOT_ACCEPTABLE = error(
    "The Accept header asks for what the call does not answer",
    "not_acceptable",
    "Could not satisfy the request Accept header.",
)
AMBIGUOUS = error(
    "The name of several clusters, or another conflict",
    "ambiguous_name",
    "Several clusters are named 'gpu-east': 0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305 of Engines, "
    "0199d1c4-9b13-7d02-8c1e-5a6f0b7c8d9e of Sam's. Give an id.",
)
TOO_SLOW = error("The body came too slowly", "request_timeout", "The body did not arrive in time.")
HEAD_TOO_LARGE = error(
    "Headers too long", "head_too_large", "The request has too many or too long headers."
)
TOO_LARGE = error("Body too large", "too_large", "A body may have 1024 KiB at most.")
NOT_JSON = error(
    "Not JSON", "unsupported_media_type", 'Unsupported media type "text/plain" in request.'
)
TOO_OFTEN = error(
    "Too often, or too many at the same time; see Retry-After",
    "throttled",
    "Request was throttled. Expected available in 42 seconds.",
)
UNAVAILABLE = error(
    "The database is away, or the web server is busy",
    "database_unavailable",
    "The database is away; try again soon.",
)
