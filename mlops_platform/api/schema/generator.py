"""Makes the Swagger 2.0 document, and finds the answers that follow from the code itself."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from drf_yasg import openapi
from drf_yasg.generators import OpenAPISchemaGenerator
from drf_yasg.inspectors import SwaggerAutoSchema
from rest_framework.permissions import AllowAny

from mlops_platform.api import scopes
from mlops_platform.api.errors import JSON
from mlops_platform.api.schema import texts
from mlops_platform.api.schema.inspectors import INSPECTORS
from mlops_platform.api.schema.texts import TAGS, Doc, error

VERBS = {"POST": "create", "PUT": "update", "PATCH": "change", "DELETE": "delete"}


class ApiGenerator(OpenAPISchemaGenerator):
    """Adds the tags, which give Swagger UI its order and its headings."""

    def get_schema(self, request: Any = None, public: bool = False) -> openapi.Swagger:
        document = super().get_schema(request, public)
        document["tags"] = [{"name": name, "description": said} for name, said in TAGS.items()]
        return document

    def get_path_parameters(self, path: str, view_cls: Any) -> list[openapi.Parameter]:
        """Ids, and where a name may be given instead, that (routers.py)."""
        parameters: list[openapi.Parameter] = super().get_path_parameters(path, view_cls)
        for each in parameters:
            if named := view_cls.named_parts.get(each.name):
                each["description"] = f"The id or the name of {named}."
            else:
                each["format"] = openapi.FORMAT_UUID
        return parameters

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

    field_inspectors = [*INSPECTORS, *SwaggerAutoSchema.field_inspectors]

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
        of_keys = "" if is_open(self.view) else scopes.describe(self.view, self.method)
        return summary, "\n\n".join(filter(None, [description, of_keys, self._needs()]))

    def has_list_response(self) -> bool:
        return bool(self.view.action == "list")

    def make_body_parameter(self, schema: Any) -> openapi.Parameter:
        """Where no field is required, a body may be left out: it is as good as an empty one."""
        fields = self.get_request_serializer().fields.values()
        parameter: openapi.Parameter = super().make_body_parameter(schema)
        parameter.required = any(field.required for field in fields)
        return parameter

    def get_produces(self) -> list[str]:
        """JSON, and what the view's table gives an example of."""
        answers = self.overrides["responses"].values()
        examples = [each.get("examples") or {} for each in answers if isinstance(each, dict)]
        return list(dict.fromkeys([*(kind for each in examples for kind in each), JSON]))

    def get_default_responses(self) -> dict[str, Any]:
        """The resource, or a page of it; 201 where the call makes it, 204 where it goes."""
        if self.method == "DELETE":
            return {"204": "Gone"}
        pages = self.should_page()
        answer = self.view.get_serializer_class()(many=pages)
        if pages:
            return {"200": openapi.Response("A page", answer, headers=texts.NEXT_PAGE)}
        return {"201" if self.view.action == "create" else "200": answer}

    def get_response_serializers(self) -> Any:
        return {**self._errors(), **super().get_response_serializers()}

    def get_response_schemas(self, response_serializers: Any) -> Any:
        """The answers, with the headers that all of their status have.

        drf-yasg writes into them, and other calls and other documents share them: it gets copies.
        """
        answers = dict(response_serializers)
        for status, each in answers.items():
            if isinstance(each, openapi.Response):
                headers = {**(each.get("headers") or {}), **self._headers(status)}
                answers[status] = openapi.Response(
                    each.description, each.schema, each.get("examples"), headers or None
                )
        return super().get_response_schemas(answers)

    def _headers(self, status: str) -> dict[str, Any]:
        if status in ("429", "503"):
            return texts.RETRY_AFTER
        return texts.CHALLENGE if status == "401" and not is_open(self.view) else {}

    def _needs(self) -> str:
        if is_open(self.view):
            return "Needs no token."
        for permission in self.view.get_permissions():
            if isinstance(permission, NamesRoles):
                return permission.needs(self.view)
        return "Any user may call it."

    def _errors(self) -> dict[str, openapi.Response]:
        """What can go wrong, by the view's body, parameters, permissions, path and throttles.

        Any call can be malformed, too large or too slow, ask for another type of answer, be one of
        too many, or find no database (web/ and headers.py answer some of these).
        """
        errors = {
            "400": texts.UNREADABLE,
            "406": texts.NOT_ACCEPTABLE,
            "408": texts.TOO_SLOW,
            "413": texts.TOO_LARGE,
            "429": texts.TOO_OFTEN,
            "431": texts.HEAD_TOO_LARGE,
            "503": texts.UNAVAILABLE,
        }
        if self.view.action in self.view.bodies:
            errors |= {"400": texts.MALFORMED, "415": texts.NOT_JSON}
        elif self.should_page() or self.overrides["manual_parameters"]:
            errors["400"] = texts.BAD_QUERY
        if not is_open(self.view):
            errors["401"] = texts.NO_TOKEN
            if scopes.scope_needed(self.view, self.method) != scopes.KeyScope.READ:
                errors["403"] = texts.BEYOND_THE_KEY
        for permission in self.view.get_permissions():
            if isinstance(permission, NamesRoles) and (detail := permission.refusal(self.view)):
                errors["403"] = error("Role too low", "permission_denied", detail)
        if "{" in self.path:
            errors["404"] = texts.not_there()
        if "{cluster_id}" in self.path:
            errors["409"] = texts.AMBIGUOUS
        return errors
