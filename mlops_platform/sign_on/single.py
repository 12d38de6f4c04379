"""The pages of single sign-on: to the provider, back from it, and connecting an account with it."""

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import identities
from accounts.models import User
from mlops_platform.admin import second_factor
from mlops_platform.api.throttling.throttles import LoginAddressThrottle
from mlops_platform.sign_on import provider
from mlops_platform.sign_on.answering import page
from organizations import groups

TEMPLATE = "sign_on/single.html"
BACKEND = "django.contrib.auth.backends.ModelBackend"
NEXT, WAITING = "sign_on_next", "sign_on_claims"


@page(TEMPLATE, LoginAddressThrottle)
def begin(request: HttpRequest) -> HttpResponse:
    """To the provider. `next` is the page to which the login leads."""
    _require_provider()
    request.session[NEXT] = _own_page(request, request.GET.get("next", ""))
    return provider.begin(request, _callback(request))


@page(TEMPLATE, LoginAddressThrottle)
def back(request: HttpRequest) -> HttpResponse:
    """From the provider: logs its user in. In a session of a user, an identity that is not known is
    connected with that user, who has to agree: the login at the provider may be another's."""
    _require_provider()
    claims = provider.finish(request)
    issuer, subject = settings.OIDC.issuer, str(claims["sub"])
    user = identities.known(issuer, subject)
    if user is None and request.user.is_authenticated:
        if second_factor.is_missing_of_member(request):
            return _to_second_factor()
        kept = {name: value for name, value in claims.items() if name in _kept_claims()}
        request.session[WAITING] = kept
        shown = {"name": _name(claims), "provider": settings.OIDC.name}
        return render(request, TEMPLATE, shown)
    if user is None:
        user = identities.make_user(issuer, claims)
    return _let_in(request, user, claims)


@page(TEMPLATE, LoginAddressThrottle, "POST")
def connect(request: HttpRequest) -> HttpResponse:
    """The user agrees to be connected with the identity that has just come back."""
    _require_provider()
    claims = request.session.pop(WAITING, None)
    if request.method != "POST" or claims is None or not isinstance(request.user, User):
        return HttpResponseRedirect(reverse("sign-on:single"))
    if second_factor.is_missing_of_member(request):
        return _to_second_factor()
    identities.connect(request.user, settings.OIDC.issuer, str(claims["sub"]))
    return _let_in(request, request.user, claims)


def _let_in(request: HttpRequest, user: User, claims: dict[str, Any]) -> HttpResponse:
    """A session of the user's, who still gives a second factor where one is set."""
    wanted = request.session.get(NEXT) or "/"
    listed = provider.groups_of(claims)
    if listed is not None:
        groups.follow(user, listed)
    if request.user != user:
        login(request, user, backend=BACKEND)
    request.session.pop(NEXT, None)
    return HttpResponseRedirect(wanted)


def _to_second_factor() -> HttpResponse:
    """An identity is another way in: a password alone connects none where more is asked for."""
    code, again = reverse("console:code"), reverse("sign-on:single")
    return HttpResponseRedirect(f"{code}?next={again}")


def _require_provider() -> None:
    if not settings.OIDC.issuer:
        raise Http404


def _callback(request: HttpRequest) -> str:
    host = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return f"{host}{reverse('sign-on:back')}"


def _own_page(request: HttpRequest, wanted: str) -> str:
    ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if wanted and ours else reverse("console:home")


def _kept_claims() -> tuple[str, ...]:
    return ("sub", settings.OIDC.groups_claim)


def _name(claims: dict[str, Any]) -> str:
    return str(claims.get(settings.OIDC.username_claim) or claims.get("email") or claims["sub"])
