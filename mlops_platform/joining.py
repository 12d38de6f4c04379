"""The page behind the link of an invitation: to what it invites, and how to accept."""

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from mlops_platform.admin.login import refuse_too_many
from mlops_platform.api.throttling.throttles import LoginAddressThrottle
from mlops_platform.health import for_reading
from organizations.invitations.queries import usable

UNUSABLE = "This link admits no user: it is revoked, used up or expired, or was not copied whole."


@never_cache
@for_reading
def show(request: HttpRequest, token: str) -> HttpResponse:
    """404 with the same page for each link that cannot be used; guesses are throttled by address.
    One query."""
    try:
        refuse_too_many(request, [LoginAddressThrottle])
    except ValidationError as error:
        return render(request, "join.html", {"refusal": error.messages[0]}, status=429)
    invitation = usable(token)
    if invitation is None:
        return render(request, "join.html", {"refusal": UNUSABLE}, status=404)
    address = f"{request.scheme}://{request.get_host()}"
    shown = {"invitation": invitation, "token": token, "address": address}
    answer = render(request, "join.html", shown)
    answer["Referrer-Policy"] = "no-referrer"
    return answer
