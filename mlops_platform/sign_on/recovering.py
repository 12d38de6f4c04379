"""The pages behind mailed links: a new password, and an address that is verified.

To open a link changes nothing, since programs that scan mail open links; its button does.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.api.serializers import LONGEST_PASSWORD
from accounts.recovery import addresses, passwords
from mlops_platform.api.errors import Invalid
from mlops_platform.api.throttling.throttles import ResetThrottle
from mlops_platform.sign_on.answering import page, refuse, sentence_of

RESET, VERIFY = "sign_on/reset_password.html", "sign_on/verify_email.html"
TOO_LONG = f"A password may have {LONGEST_PASSWORD} characters."


@page(RESET, ResetThrottle, "POST")
def reset_password(request: HttpRequest, reset_token: str) -> HttpResponse:
    user = passwords.user_of(reset_token)
    if user is None:
        return refuse(request, RESET, passwords.BAD_LINK, 404)
    shown = {"user_name": user.username}
    if request.method != "POST":
        return render(request, RESET, shown)
    given = request.POST.get("new_password", "")
    if len(given) > LONGEST_PASSWORD:
        return refuse(request, RESET, TOO_LONG, 400, **shown)
    try:
        passwords.reset(reset_token, given)
    except Invalid as error:
        return refuse(request, RESET, sentence_of(error), 400, **shown)
    return render(request, RESET, {**shown, "done": True})


@page(VERIFY, ResetThrottle, "POST")
def verify_email(request: HttpRequest, verify_token: str) -> HttpResponse:
    if request.method != "POST":
        return render(request, VERIFY)
    user = addresses.confirm(verify_token)
    return render(request, VERIFY, {"user_name": user.username, "done": True})
