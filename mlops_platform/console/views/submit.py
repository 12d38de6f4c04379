from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from rest_framework.exceptions import Throttled, ValidationError

from mlops_platform.api.errors import Conflict
from mlops_platform.api.throttling.throttles import QuoteThrottle
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members, throttle
from mlops_platform.console.pages import submit as page
from mlops_platform.console.pages.submit import Outcome


@for_members("GET", "HEAD", "POST")
def show(request: MemberRequest) -> HttpResponse:
    """GET: the form, with `?like=` that of an earlier deployment. POST: submits it, or with the
    button "Quote" says what would become of it."""
    if request.method != "POST":
        like = request.GET.get("like", "")
        found = page.page_like(request.user, like) if like else _empty(request)
        return answering.show(request, "submit", found)
    if "only_quote" in request.POST:
        outcome = _quoted(request)
    else:
        try:
            deployment = page.submit_form(request.user, request.POST)
        except ValidationError as error:
            outcome = page.faulty(error)
        except Conflict as error:
            outcome = Outcome(said=str(error.detail), kind="REFUSED")
        else:
            messages.success(request, "It is submitted.")
            return redirect("console:deployment", deployment_id=deployment.pk)
    given = request.POST.dict()
    return answering.show(request, "submit", page.submit_page(request.user, given, outcome))


@for_members("POST")
def quote(request: MemberRequest) -> HttpResponse:
    """The part of the page that says what would become of the form as it is."""
    return answering.part(request, "console/quote.html", {"outcome": _quoted(request)})


def _quoted(request: MemberRequest) -> Outcome:
    """Where too many are asked for just now it says so, beside a form that stays as it is."""
    try:
        throttle(request, QuoteThrottle)
        return page.outcome_of(request.user, request.POST)
    except Throttled as error:
        return Outcome(said=page.too_many(error.wait))  # type: ignore[attr-defined]  # of DRF


def _empty(request: MemberRequest) -> page.SubmitPage:
    given = {**page.START, "cluster_id": request.GET.get("cluster_id", "")}
    return page.submit_page(request.user, given, Outcome())
