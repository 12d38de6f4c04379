"""Lets members in: a session with a password, and with the second factor where one is set."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from accounts.api.requests import UserRequest
from accounts.models import User
from mlops_platform.admin import second_factor
from mlops_platform.api import tenant
from mlops_platform.api.throttling.throttles import RateThrottle
from mlops_platform.console import errors

View = Callable[..., Any]


class MemberRequest(HttpRequest):
    """A request that `for_members` has let through. For the types only."""

    user: User


def for_members(*methods: str) -> Callable[[View], View]:
    """A view for users who are logged in, and for these methods alone (GET where none are given).

    Others are led to the login, and come back. What the view raises becomes a page.
    """
    allowed = methods or ("GET", "HEAD")

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, **path: Any) -> Any:
            if not request.user.is_authenticated:
                tenant.authenticated.get()(None)
                return _leave(request, reverse("console:login"))
            if second_factor.is_missing_of_member(request):
                return _leave(request, reverse("console:code"))
            tenant.authenticated.get()(request.user.pk)
            if request.method not in allowed:
                return errors.method_not_allowed(request, allowed)
            try:
                return view(request, **path)
            except Exception as error:
                return errors.answer(request, error)

        return checked

    return decorate


def _leave(request: HttpRequest, address: str) -> HttpResponse:
    """To another page, and from there back to this one; htmx leaves the whole page."""
    if request.headers.get("HX-Request") == "true":
        here = request.headers.get("HX-Current-URL", "")
        address = f"{address}?{urlencode({'next': _path_of(request, here)})}"
        return HttpResponse(status=401, headers={"HX-Redirect": address})
    back = request.get_full_path() if request.method == "GET" else reverse("console:home")
    return HttpResponseRedirect(f"{address}?{urlencode({'next': back})}")


def _path_of(request: HttpRequest, url: str) -> str:
    ours = f"{request.scheme}://{request.get_host()}"
    return url.removeprefix(ours) if url.startswith(f"{ours}/") else reverse("console:home")


def as_user_request(request: HttpRequest) -> UserRequest:
    """The request as the API's functions read it."""
    asked: Any = Request(request)
    asked.user = request.user
    return asked


def throttle(request: HttpRequest, *throttles: type[RateThrottle]) -> None:
    """Counts the request as a call of the API; raises 429 where there are too many."""
    asked = as_user_request(request)
    for each in throttles:
        one = each()
        if not one.allow_request(asked, None):
            raise Throttled(wait=one.wait())
