"""The viewset that all others build on: it parses, calls one service or query, and answers."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from mlops_platform.api.errors import not_found
from mlops_platform.api.names import is_lookable
from mlops_platform.api.schema import Doc
from mlops_platform.api.scopes import KeyScope


class ApiViewSet(GenericViewSet):
    """A resource. `bodies` and `docs` have a row for each action, by its name."""

    bodies: Mapping[str, type[BaseSerializer]] = {}
    """The serializer that reads the body of an action; no row: the action takes none."""
    docs: Mapping[str, Doc] = {}
    """What Swagger says of an action beyond what follows from the code."""
    lookup_value_converter = "uuid"
    key_scopes: Mapping[str, KeyScope | None] = {}
    """The scope that an API key needs for an action, where it is not what scopes.py says of its
    method; None: no key may call it."""
    named_parts: Mapping[str, str] = {}
    """The parts of its paths that may be a name instead of an id (NamedViewSet), each with what is
    named."""

    def body(self) -> dict[str, Any]:
        """The request's validated body; 400 that names the fields at fault."""
        if self.request.data is None:  # JSON's null
            raise ValidationError({"non_field_errors": [ErrorDetail("No data provided", "null")]})
        read = _reader(self.bodies[self.action])  # type: ignore[arg-type]  # a class is hashable
        return dict(read.run_validation(self.request.data))

    def get_object(self) -> Any:
        """The row of get_queryset that the path names; 404 where it has none. One query more."""
        row = self.get_queryset().filter(pk=self.kwargs[str(self.lookup_url_kwarg)]).first()
        if row is None:
            raise not_found()
        return row


class NamedViewSet(ApiViewSet):
    """A resource whose path may have names where it has ids."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Also puts an id in place of each name of the path, from left to right. One query for each
        name, none for an id."""
        super().initial(request, *args, **kwargs)
        for part, given in self.kwargs.items():
            if part in self.named_parts and isinstance(given, str):
                if not is_lookable(given):
                    raise not_found()
                self.kwargs[part] = self.id_of(part, given)

    def id_of(self, part: str, name: str) -> UUID:
        """The id of what a part of the path names; 404 where there is none that the caller may see.

        `kwargs` has the ids of the parts before it.
        """
        raise not_found()


@cache
def _reader(serializer: type[BaseSerializer]) -> BaseSerializer:
    """The one instance that reads all bodies of a kind. Reading leaves no trace in it, and copying
    the fields for each request, as DRF does, takes longer than reading."""
    return serializer()
