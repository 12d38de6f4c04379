"""The second factor of operators: codes of an authenticator app (TOTP, RFC 6238).

django-otp keeps the devices, checks codes, takes each one once, and makes the next attempt wait the
longer the more have failed. It adds to Django's login; django-allauth would replace it, with its
forms, pages and throttles. Here are the pages: they ask for a code, enrol a device with a QR code,
and show recovery codes, each good for one login where the device is lost. A session that has a
password alone opens none of the other pages (mlops_platform/admin/operator_site.py).
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import segno
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django_otp import login as verify_session
from django_otp import verify_token
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from mlops_platform.admin.login import refuse_too_many
from mlops_platform.api.throttling.throttles import LoginAddressThrottle

logger = logging.getLogger(__name__)

PENDING = "second_factor_pending"
KEY = "second_factor_key"  # of the device that is being enrolled; the session alone has it
CODES = 10
View = Callable[[HttpRequest], HttpResponse]


def is_missing(request: HttpRequest) -> bool:
    """Whether the session needs a second factor that it does not have. No query."""
    user: Any = request.user
    if user.is_verified():
        return False
    return bool(settings.REQUIRE_STAFF_TOTP or request.session.get(PENDING))


def is_missing_of_member(request: HttpRequest) -> bool:
    """The same for the members' pages: required of operators alone, and asked of each user who has
    a device. No query."""
    user: Any = request.user
    if user.is_verified():
        return False
    required = user.is_staff and settings.REQUIRE_STAFF_TOTP
    return bool(required or request.session.get(PENDING))


def device_of(user: Any) -> TOTPDevice | None:
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def forget_devices(user: Any) -> None:
    """For an operator who has lost the device and the codes. Sessions by them lose their rights."""
    if TOTPDevice.objects.filter(user=user).delete()[0]:
        logger.info("second factor removed", extra={"user_id": str(user.pk)})
    StaticDevice.objects.filter(user=user).delete()


@receiver(user_logged_in)
def on_logged_in(request: HttpRequest, user: Any, **_: Any) -> None:
    """A user who has a device gives a code of it, also where none is required."""
    if device_of(user) is not None:
        request.session[PENDING] = True


class CodeForm(forms.Form):
    """A code of the app, or a recovery code; spaces do not count."""

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True, "size": 16}),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_code(self) -> str:
        refuse_too_many(self.request, [LoginAddressThrottle])
        return "".join(str(self.cleaned_data["code"]).split()).lower()


class LoginCodeForm(CodeForm):
    def clean(self) -> dict[str, Any]:
        """`device`: the one that took the code."""
        code = self.cleaned_data.get("code", "")
        if not code:
            return self.cleaned_data
        user: Any = self.request.user
        kind = TOTPDevice if code.isdigit() and len(code) == 6 else StaticDevice
        for device in kind.objects.filter(user=user, confirmed=True):
            allowed, why = device.verify_is_allowed()
            if not allowed:
                seconds = int((why["locked_until"] - timezone.now()).total_seconds()) + 1
                raise ValidationError(f"Too many wrong codes; wait {seconds} seconds.")
            if verify_token(user, device.persistent_id, code):
                return {**self.cleaned_data, "device": device}
        raise ValidationError("This code is wrong, or was used already.")


def for_operators(view: View) -> View:
    """Django's login page for a session without an operator's password; never cached."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if admin.site.is_operator(request):  # type: ignore[attr-defined]  # an OperatorSite
            return view(request)
        return redirect("admin:login")

    return never_cache(checked)


@for_operators
def ask(request: HttpRequest) -> HttpResponse:
    """Asks for a code after the password; to enrolling where there is no device yet."""
    if request.method == "POST" and "log_out" in request.POST:
        logout(request)
        return redirect("admin:login")
    if not is_missing(request):
        return HttpResponseRedirect(_next(request))
    if device_of(request.user) is None:
        return redirect("admin:enrol")
    form = LoginCodeForm(request.POST or None, request=request)
    if not form.is_valid():
        return _page(request, "second_factor", "Second factor", form=form, next=_next(request))
    admit(request, form.cleaned_data["device"])
    left = StaticToken.objects.filter(device__user=request.user).count()
    if isinstance(form.cleaned_data["device"], StaticDevice):
        messages.warning(request, f"That recovery code is used up; you have {left} more.")
    return HttpResponseRedirect(_next(request))


@for_operators
def enrol(request: HttpRequest) -> HttpResponse:
    """Shows a QR code until a code of the device proves that it has it.

    Replacing a device takes a session that has given a code of the present one.
    """
    user: Any = request.user
    if is_missing(request) and device_of(user) is not None:
        return redirect("admin:second_factor")
    key = request.session.setdefault(KEY, default_key())
    device = TOTPDevice(user=user, name="authenticator app", key=key)
    form = CodeForm(request.POST or None, request=request)
    if form.is_valid():
        if _takes(device, form.cleaned_data["code"]):
            codes = _save(device)
            del request.session[KEY]
            admit(request, device)
            return _page(request, "recovery_codes", "Recovery codes", codes=codes)
        form.add_error("code", "This is not the code that the app shows now.")
    return _page(
        request,
        "enrol",
        "Second factor",
        form=form,
        present=device_of(user),
        qr_code=segno.make(device.config_url, error="m").svg_data_uri(scale=5, border=3),
        key=_in_groups(device.config_url.partition("secret=")[2].partition("&")[0]),
    )


@for_operators
def new_codes(request: HttpRequest) -> HttpResponse:
    """Replaces the recovery codes, for an operator who has given the second factor."""
    user: Any = request.user
    if request.method != "POST" or not user.is_verified():
        return redirect("admin:enrol")
    codes = _new_codes(user)
    return _page(request, "recovery_codes", "Recovery codes", codes=codes)


def _takes(device: TOTPDevice, code: str) -> bool:
    """Whether the device shows this code now; it takes no code twice. There is no row yet."""
    totp = TOTP(device.bin_key)
    if not (code.isascii() and code.isdigit() and totp.verify(int(code), device.tolerance)):
        return False
    device.last_t, device.drift = totp.t(), totp.drift
    return True


@transaction.atomic
def _save(device: TOTPDevice) -> list[str]:
    """Put the device in the place of all others; the new recovery codes."""
    forget_devices(device.user)
    device.save()
    logger.info("second factor enrolled", extra={"user_id": str(device.user_id)})
    return _new_codes(device.user)


def admit(request: HttpRequest, device: Any) -> None:
    """From now on the session has both factors; its id changes with its rights."""
    request.session.cycle_key()
    request.session.pop(PENDING, None)
    verify_session(request, device)


@transaction.atomic
def _new_codes(user: Any) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [StaticToken.random_token() + StaticToken.random_token() for _ in range(CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return [_in_groups(code) for code in codes]


def _in_groups(text: str) -> str:
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _next(request: HttpRequest) -> str:
    """The page that the operator wanted, if it is one of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if wanted and ours else reverse("admin:index")


def _page(request: HttpRequest, name: str, title: str, **context: Any) -> TemplateResponse:
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"operators/{name}.html", shown)
