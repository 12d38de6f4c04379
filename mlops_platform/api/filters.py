"""Query strings of lists: each parameter is known and sound, or the answer is 400."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.views import APIView

from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import PAGING, query_of


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Narrows a list by the view's `filterset_class`, where it has one.

    400 for a parameter that neither the filters nor the paging know, and for a faulty value.
    """

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        known = self._filters(view)
        several = {name for name, one in known.items() if getattr(one, "several", False)}
        paging = PAGING if getattr(view, "paginator", None) else ()
        query_of(request, (*known, *paging), several=several)
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            raise Invalid({name: str(faults[0]) for name, faults in filterset.errors.items()})
        narrowed: QuerySet[Any] = filterset.qs
        return narrowed

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """The filters for Swagger, each with its `help_text`."""
        return [
            {
                "name": name,
                "in": "query",
                "description": one.extra["help_text"],
                "schema": one.schema,
            }
            for name, one in self._filters(view).items()
        ]

    def _filters(self, view: APIView) -> dict[str, filters.Filter]:
        filterset = self.get_filterset_class(view)
        return dict(filterset.base_filters) if filterset else {}


class ReadField(forms.Field):
    """A parameter's text, as `read` understands it. An empty text is no missing one."""

    def __init__(self, *, read: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.read = read

    def clean(self, value: str | list[str] | None) -> Any:
        return None if value is None else self.read(value)


class SeveralTexts(forms.TextInput):
    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str] | None:
        return data.getlist(name) or None


class ReadFilter(filters.Filter):
    """A filter by what its function `read` makes of the text, with what Swagger says of the text.

    For a faulty text `read` raises Django's ValidationError with the sentence to answer.
    """

    field_class = ReadField

    def __init__(
        self,
        *args: Any,
        schema: Mapping[str, Any] | None = None,
        several: bool = False,
        **kwargs: Any,
    ) -> None:
        """`several`: it may be given more than once, and `read` takes a list of texts."""
        if several:
            kwargs["widget"] = SeveralTexts
        super().__init__(*args, **kwargs)
        self.schema, self.several = {"type": "string", **(schema or {})}, several
        if several:
            self.schema = {"type": "array", "items": self.schema, "collectionFormat": "multi"}
