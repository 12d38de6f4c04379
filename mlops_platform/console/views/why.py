from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from deployments.queries.deployments import deployment_for
from mlops_platform.api.throttling.concurrency import slot
from mlops_platform.api.throttling.throttles import ExplainThrottle
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members, throttle
from mlops_platform.console.pages.why import why
from scheduler.answers import offers
from scheduler.answers.offers import Change
from scheduler.answers.shares import shares_of


@for_members("GET", "HEAD", "POST")
def show(request: MemberRequest, deployment_id: str) -> HttpResponse:
    """GET: the panel, a page of its own without JavaScript. POST: accepts one of its offers."""
    deployment = deployment_for(request.user, deployment_id)
    if request.method != "POST":
        throttle(request, ExplainThrottle)
        with slot(shares_of(deployment.cluster)):
            page = why(request.user, deployment)
        if request.headers.get("HX-Request") == "true":
            return answering.part(
                request, "console/why_panel.html", {"page": page, "embedded": True}
            )
        return answering.show(request, "why", page)
    change = Change.read(request.POST.get("change", ""))
    runs = offers.accept(request.user, deployment, change, request.POST.get("token", ""))
    messages.success(request, f"Done: it is {runs.status}.")
    return redirect("console:deployment", deployment_id=runs.pk)
