"""What Swagger shows beside the serializers: the API's title and each call's error answers."""

from collections.abc import Sequence
from typing import Any

from drf_yasg import openapi
from drf_yasg.generators import OpenAPISchemaGenerator
from drf_yasg.inspectors import SwaggerAutoSchema
from rest_framework.permissions import AllowAny

from mlops_platform import __version__
from mlops_platform.api.errors import FAULTY

INFO = openapi.Info(
    title="MLOps platform",
    default_version=__version__,
    description=(
        "Clusters, deployments and the scheduler between them. Register, log in, press Authorize "
        "and paste `Bearer <access_token>`; every call below then runs as you."
    ),
)

# In the order in which somebody new needs them.
TAGS = {
    "users": "Who is calling: register, log in, your profile.",
    "organizations": "Who works together: members, roles, invite codes.",
    "clusters": "What there is to run on, and who waits for it.",
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


class ApiGenerator(OpenAPISchemaGenerator):
    """Adds the tags, which give Swagger UI its order and its headings."""

    def get_schema(self, request: Any = None, public: bool = False) -> openapi.Swagger:
        document = super().get_schema(request, public)
        document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
        return document


class ApiSchema(SwaggerAutoSchema):
    """Adds the answers that follow from the call itself: its body, its login, its path, its pages.

    A call that any logged-in user may make says so: `swagger_auto_schema(..., needs_role=False)`.
    """

    def get_operation_id(self, operation_keys: Sequence[str] | None = None) -> str:
        """`clusters_list`, `orgs_members_change`: generated clients name their methods by it.

        A path that ends in no plural (orgs/create, users/login, …/queue) says what it does itself.
        """
        if given := self.overrides.get("operation_id"):
            return str(given)
        *path, verb = operation_keys or self.operation_keys
        words = [word.replace("-", "_") for word in path]
        if words[-1].endswith("s") or verb not in ("create", "list", "read"):
            words.append({"partial_update": "change", "read": "get"}.get(verb, verb))
        return "_".join(words)

    def get_response_serializers(self) -> Any:
        answers = super().get_response_serializers()
        for status, answer in self._errors().items():
            answers.setdefault(status, answer)
        return answers

    def _errors(self) -> dict[str, openapi.Response]:
        errors: dict[str, openapi.Response] = {}
        view = self.view
        if self.method in ("POST", "PUT", "PATCH"):
            errors["400"] = error(
                "Malformed or invalid",
                "invalid",
                FAULTY,
                field=["A valid number is required."],
            )
            errors["413"] = error(
                "Body too large", "too_large", "A body may have 1024 KiB at most."
            )
            errors["415"] = error(
                "Not JSON",
                "unsupported_media_type",
                'Unsupported media type "text/plain" in request.',
            )
        elif self.should_page():
            errors["400"] = error(
                "A faulty limit or cursor",
                "invalid",
                FAULTY,
                limit=["A whole number from 1 to 1000."],
            )
        if not any(isinstance(permission, AllowAny) for permission in view.get_permissions()):
            errors["401"] = error(
                "No token, or a bad one",
                "not_authenticated",
                "Authentication credentials were not provided.",
            )
            if self.method != "GET" and self.overrides.get("needs_role", True):
                errors["403"] = error(
                    "Role too low",
                    "permission_denied",
                    "This needs the role DEVELOPER; yours is VIEWER.",
                )
        if "{" in self.path:
            errors["404"] = error(
                "Not there, or not yours",
                "not_found",
                "There is nothing here, or it is not yours to see.",
            )
        if view.get_throttles():
            errors["429"] = error(
                "Too often; see Retry-After",
                "throttled",
                "Request was throttled. Expected available in 42 seconds.",
            )
        return errors
