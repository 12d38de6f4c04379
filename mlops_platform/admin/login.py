"""The admin's login, throttled like the API's and counted together with it.

Without a throttle an attacker could guess an operator's password here.
"""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from rest_framework.parsers import FormParser
from rest_framework.request import Request

from mlops_platform.api.throttles import LOGIN_THROTTLES, remember_address


class ThrottledLoginForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # the login view gives it
        asked = Request(self.request, parsers=[FormParser()])
        for throttle in LOGIN_THROTTLES:
            if not throttle().allow_request(asked, None):
                raise ValidationError(
                    "Too many attempts; wait a minute, then try again.", code="throttled"
                )
        cleaned = super().clean()
        remember_address(asked)
        return cleaned
