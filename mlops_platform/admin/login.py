"""The logins of pages, throttled like the API's and counted together with it.

Without a throttle an attacker could guess a password here.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework.parsers import FormParser
from rest_framework.request import Request

from mlops_platform.api.throttling.throttles import LOGIN_THROTTLES, RateThrottle, remember_address

LONGEST = 1024  # characters of a name, a password or another field of the form


class Throttled(AuthenticationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Django normalizes a name before it measures it, and shows it again in its answer."""
        super().__init__(*args, **kwargs)
        if any(len(text) > LONGEST for text in self.data.values()):
            self.data = {}  # both are missing

    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # the login view gives it
        asked = refuse_too_many(self.request, LOGIN_THROTTLES)
        cleaned = super().clean()
        remember_address(asked)
        return cleaned


class ThrottledLoginForm(Throttled, AdminAuthenticationForm):
    """Of operators."""


class MemberLoginForm(Throttled):
    """Of all users."""


def refuse_too_many(request: HttpRequest, throttles: Iterable[type[RateThrottle]]) -> Request:
    """A form's error where one of the throttles lets the request through no more; else the request
    as they read it."""
    asked = Request(request, parsers=[FormParser()])
    for throttle in throttles:
        if not throttle().allow_request(asked, None):
            raise ValidationError(
                "Too many attempts; wait a minute, then try again.", code="throttled"
            )
    return asked
