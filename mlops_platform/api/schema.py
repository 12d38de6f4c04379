"""What Swagger shows: each call's text, and the answers that follow from the code itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from drf_yasg import openapi
from drf_yasg.generators import OpenAPISchemaGenerator
from drf_yasg.inspectors import SwaggerAutoSchema
from rest_framework.permissions import AllowAny

from mlops_platform import __version__
from mlops_platform.api.errors import FAULTY, NOT_FOUND

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
    "clusters": "Capacity, nodes, queues and the ledger of decisions.",
    "nodes": "The machines that a cluster is made of, where it is more than a pool.",
    "deployments": "What shall run: submit, watch, change, stop.",
    "ledger": "What the scheduler decided, and on what grounds.",
}

ERROR = openapi.Schema(
    type=openapi.TYPE_OBJECT,
    required=["detail", "code"],
    properties={
        "detail": openapi.Schema(type=openapi.TYPE_STRING, description="A sentence for people."),
        "code": openapi.Schema(type=openapi.TYPE_STRING, description="A token for programs."),
        "fields": openapi.Schema(
            type=openapi.TYPE_OBJECT, description="Sentences by the name of the field at fault."
        ),
    },
)


def error(description: str, code: str, detail: str, **fields: Any) -> openapi.Response:
    """An error answer with its example body."""
    body: dict[str, Any] = {"detail": detail, "code": code}
    if fields:
        body["fields"] = fields
    return openapi.Response(description, ERROR, examples={"application/json": body})


def not_there(description: str = "Not there, or not yours", **fields: Any) -> openapi.Response:
    return error(description, "not_found", NOT_FOUND, **fields)


def parameter(
    name: str, kind: str, description: str, *, at: str = openapi.IN_QUERY
) -> openapi.Parameter:
    return openapi.Parameter(name, at, type=kind, description=description)


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
TOO_LARGE = error("Body too large", "too_large", "A body may have 1024 KiB at most.")
NOT_JSON = error(
    "Not JSON", "unsupported_media_type", 'Unsupported media type "text/plain" in request.'
)
BAD_PAGE = error(
    "A faulty limit or cursor", "invalid", FAULTY, limit=["A whole number from 1 to 1000."]
)
NO_TOKEN = error(
    "No token, or a bad one",
    "not_authenticated",
    "Authentication credentials were not provided.",
)
TOO_OFTEN = error(
    "Too often; see Retry-After",
    "throttled",
    "Request was throttled. Expected available in 42 seconds.",
)
VERBS = {"POST": "create", "PUT": "update", "PATCH": "change", "DELETE": "delete"}


class ApiGenerator(OpenAPISchemaGenerator):
    """Adds the tags, which give Swagger UI its order and its headings."""

    def get_schema(self, request: Any = None, public: bool = False) -> openapi.Swagger:
        document = super().get_schema(request, public)
        document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
        return document

    def get_overrides(self, view: Any, method: str) -> dict[str, Any]:
        """The view's tables (viewsets.py), in the words of `swagger_auto_schema`."""
        doc: Doc = view.docs[view.action]
        return {
            "operation_id": doc.operation_id,
            "operation_summary": doc.summary,
            "operation_description": doc.description,
            "tags": [doc.tag],
            "manual_parameters": list(doc.parameters),
            "request_body": view.bodies.get(view.action),
            "responses": dict(doc.answers),
            "security": [] if is_open(view) else None,
        }


@runtime_checkable
class NamesRoles(Protocol):
    """A permission class that knows the role that each action needs."""

    def needs(self, view: Any) -> str:
        """The role, as a sentence."""

    def refusal(self, view: Any) -> str:
        """The detail of a 403; empty where no role is too low."""


def is_open(view: Any) -> bool:
    """Whether the call asks for no token."""
    return any(isinstance(permission, AllowAny) for permission in view.get_permissions())


class ApiSchema(SwaggerAutoSchema):
    """Adds what follows from the call itself: its name, the role it needs, its answers."""

    def get_operation_id(self, operation_keys: Sequence[str] | None = None) -> str:
        """`clusters_list`, `orgs_members_change`: generated clients name their methods by it.

        A path that ends in no plural (orgs/create, users/login, …/queue) says what it does itself.
        """
        if given := self.overrides["operation_id"]:
            return str(given)
        parts = self.path.removeprefix("/api/").split("/")
        words = [part.replace("-", "_") for part in parts if "{" not in part]
        verb = VERBS.get(self.method) or ("list" if self.should_page() else "get")
        if words[-1].endswith("s") or verb not in ("create", "list", "get"):
            words.append(verb)
        return "_".join(words)

    def get_summary_and_description(self) -> tuple[str, str]:
        """The text of the view's table, and the role that its permission class demands."""
        summary, description = super().get_summary_and_description()
        return summary, "\n\n".join(filter(None, [description, self._needs()]))

    def has_list_response(self) -> bool:
        return bool(self.view.action == "list")

    def get_default_responses(self) -> dict[str, Any]:
        """The resource, or a page of it; 201 where the call makes it, 204 where it goes."""
        if self.method == "DELETE":
            return {"204": "Gone"}
        answer = self.view.get_serializer_class()(many=self.should_page())
        return {"201" if self.view.action == "create" else "200": answer}

    def get_response_serializers(self) -> Any:
        return {**self._errors(), **super().get_response_serializers()}

    def _needs(self) -> str:
        if is_open(self.view):
            return "Needs no token."
        for permission in self.view.get_permissions():
            if isinstance(permission, NamesRoles):
                return permission.needs(self.view)
        return "Any user may call it."

    def _errors(self) -> dict[str, openapi.Response]:
        """What can go wrong, by the view's body, pages, permissions, path and throttles."""
        errors: dict[str, openapi.Response] = {}
        if self.view.action in self.view.bodies:
            errors |= {"400": MALFORMED, "413": TOO_LARGE, "415": NOT_JSON}
        elif self.should_page():
            errors["400"] = BAD_PAGE
        if not is_open(self.view):
            errors["401"] = NO_TOKEN
        for permission in self.view.get_permissions():
            if isinstance(permission, NamesRoles) and (detail := permission.refusal(self.view)):
                errors["403"] = error("Role too low", "permission_denied", detail)
        if "{" in self.path:
            errors["404"] = not_there()
        if self.view.get_throttles():
            errors["429"] = TOO_OFTEN
        return errors
