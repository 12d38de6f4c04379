"""Tables that apps add to the page of an object of an app below them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString


class Section(NamedTuple):
    """`none` is what stands there where there is no row; `links` stand above the table."""

    title: str
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    none: str = ""
    links: Sequence[SafeString] = ()

    @property
    def cells(self) -> list[list[tuple[str, Any]]]:
        """Each cell with its header, by which a narrow page names it."""
        return [list(zip(self.headers, row, strict=True)) for row in self.rows]


Make = Callable[[Any], Section | None]
_makers: dict[type[Model], list[Make]] = {}


def add_section(model: type[Model], make: Make) -> None:
    """Show what `make` makes of an object on its page; nothing where that is None."""
    _makers.setdefault(model, []).append(make)


def sections_of(instance: Model | None) -> list[Section]:
    makers = _makers.get(type(instance), []) if instance is not None else []
    return [found for make in makers if (found := make(instance)) is not None]


class WithSections:
    """To be mixed into a ModelAdmin whose page has operators/change_form.html."""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["sections"] = sections_of(context.get("original"))
        answer: HttpResponse = super().render_change_form(  # type: ignore[misc]  # ModelAdmin's
            request, context, *args, **kwargs
        )
        return answer
