"""The page on which a person lets a program in that has no browser (accounts/devices.py)."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.exceptions import APIException

from accounts import devices
from accounts.models import DeviceGrant
from mlops_platform.api.throttling.throttles import UserCodeThrottle
from mlops_platform.console.access import for_members, throttle
from mlops_platform.sign_on.answering import sentence_of

TEMPLATE = "sign_on/device.html"


@for_members("GET", "HEAD", "POST")
def show(request: HttpRequest) -> HttpResponse:
    """Asks for the short code, then shows what waits with it, then says what was decided."""
    given = request.POST if request.method == "POST" else request.GET
    code = given.get("user_code", "")
    if not code:
        return render(request, TEMPLATE)
    throttle(request, UserCodeThrottle)
    try:
        if request.method == "POST" and given.get("decision") in ("allow", "deny"):
            allow = given["decision"] == "allow"
            grant = devices.decide(_user(request), code, allow=allow)
            return render(request, TEMPLATE, {"grant": grant, "decided": True, "allowed": allow})
        grant = devices.waiting_with(code)
    except APIException as error:
        shown = {"refusal": sentence_of(error)}
        return render(request, TEMPLATE, shown, status=error.status_code)
    return render(request, TEMPLATE, {"grant": grant, "code": _shown(grant)})


def _shown(grant: DeviceGrant) -> str:
    return devices.shown(grant.user_code)


def _user(request: HttpRequest) -> Any:
    return request.user
