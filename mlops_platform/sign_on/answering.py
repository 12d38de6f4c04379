"""What the pages behind mailed and shared links have in common: never stored, named to no other
site, and throttled by address."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from rest_framework.exceptions import APIException

from mlops_platform.admin.login import refuse_too_many
from mlops_platform.api.errors import method_not_allowed
from mlops_platform.api.throttling.throttles import RateThrottle

View = Callable[..., HttpResponse]


def page(template: str, throttle: type[RateThrottle], *methods: str) -> Callable[[View], View]:
    """A view of GET, HEAD and `methods`. What it raises becomes a sentence on the page."""
    allowed = ("GET", "HEAD", *methods)

    def decorate(view: View) -> View:
        protected = csrf_protect(view)

        @csrf_exempt  # a method that is not allowed gets a 405
        @never_cache
        @wraps(view)
        def checked(request: HttpRequest, **path: Any) -> HttpResponse:
            if request.method not in allowed:
                return method_not_allowed(request, allowed)
            try:
                refuse_too_many(request, [throttle])
                answer = protected(request, **path)
            except ValidationError as error:
                answer = refuse(request, template, error.messages[0], 429)
            except APIException as error:
                answer = refuse(request, template, sentence_of(error), error.status_code)
                if (wait := getattr(error, "wait", None)) is not None:
                    answer["Retry-After"] = str(int(wait) + 1)
            answer["Referrer-Policy"] = "no-referrer"
            return answer

        return checked

    return decorate


def refuse(
    request: HttpRequest, template: str, sentence: str, status: int, **shown: Any
) -> HttpResponse:
    return render(request, template, {"refusal": sentence, **shown}, status=status)


def sentence_of(error: APIException) -> str:
    """The words of an API's error, without the names of its fields."""
    detail: Any = error.detail
    if isinstance(detail, dict):
        return " ".join(str(each) for said in detail.values() for each in said)
    return " ".join(map(str, detail)) if isinstance(detail, list) else str(detail)
