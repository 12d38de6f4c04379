"""The page behind the link of an invitation: to what it invites, and a button for a user who is
logged in."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from mlops_platform.admin import second_factor
from mlops_platform.api.throttling.throttles import LoginAddressThrottle
from mlops_platform.sign_on.answering import page, refuse
from organizations.invitations.queries import usable
from organizations.services import join

TEMPLATE = "sign_on/join.html"
UNUSABLE = "This link admits no user: it is revoked, used up or expired, or was not copied whole."


@page(TEMPLATE, LoginAddressThrottle, "POST")
def show(request: HttpRequest, invitation_token: str) -> HttpResponse:
    """404 with the same page for each link that cannot be used. To open it joins nothing."""
    invitation = usable(invitation_token)
    if invitation is None:
        return refuse(request, TEMPLATE, UNUSABLE, 404)
    user: Any = request.user
    is_in = user.is_authenticated and not second_factor.is_missing_of_member(request)
    login = f"{reverse('console:login')}?{urlencode({'next': request.path})}"
    if request.method == "POST":
        if not is_in:
            return HttpResponseRedirect(login)
        join(user, invitation_token)
        return HttpResponseRedirect(reverse("console:home"))
    address = f"{request.scheme}://{request.get_host()}"
    shown = {"token": invitation_token, "address": address, "is_in": is_in, "login": login}
    return render(request, TEMPLATE, {"invitation": invitation, **shown})
