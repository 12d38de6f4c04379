"""Forms whose values a service checks: what it refuses becomes the form's own errors."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.http import HttpRequest
from rest_framework.exceptions import APIException

from mlops_platform.admin.pages import OperatorAdmin


class RefusableForm:
    """A mixin for a ModelForm. `refusal`: what the service said to these values, by field."""

    refusal: ClassVar[Mapping[str, str]] = {}

    def add_refusal(self) -> None:
        """For `clean`: a sentence about no field of the form becomes an error of the whole form."""
        form: Any = self
        for name, said in self.refusal.items():
            form.add_error(name if name in form.fields else None, said)


class RefusingAdmin(OperatorAdmin):
    """Saves by a service, which checks values under its lock; forms repeat none of its checks."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """A refusal has rolled everything back: the form is shown again and says why."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except APIException as refusal:
            sentences = dict(sentences_of(refusal.detail))
            setattr(request, "refusal", sentences)  # noqa: B010 - not HttpRequest's own
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.refusal = getattr(request, "refusal", {})
        return form


def sentences_of(detail: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(innermost field name, sentence) of each fault of a nested error."""
    if isinstance(detail, Mapping):
        for inner_name, inner in detail.items():
            yield from sentences_of(inner, str(inner_name))
    elif isinstance(detail, list):
        yield name, " ".join(str(each) for each in detail)
    else:
        yield name, str(detail)
