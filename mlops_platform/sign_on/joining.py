"""The page behind the link of an invitation: to what it invites, and how to accept."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlops_platform.api.throttling.throttles import LoginAddressThrottle
from mlops_platform.sign_on.answering import page, refuse
from organizations.invitations.queries import usable

TEMPLATE = "sign_on/join.html"
UNUSABLE = "This link admits no user: it is revoked, used up or expired, or was not copied whole."


@page(TEMPLATE, LoginAddressThrottle)
def show(request: HttpRequest, invitation_token: str) -> HttpResponse:
    """404 with the same page for each link that cannot be used. One query."""
    invitation = usable(invitation_token)
    if invitation is None:
        return refuse(request, TEMPLATE, UNUSABLE, 404)
    address = f"{request.scheme}://{request.get_host()}"
    shown = {"invitation": invitation, "token": invitation_token, "address": address}
    return render(request, TEMPLATE, shown)
