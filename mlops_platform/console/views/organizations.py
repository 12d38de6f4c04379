from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from rest_framework.exceptions import ValidationError

from mlops_platform.api.errors import Conflict
from mlops_platform.api.throttling.throttles import InviteThrottle, JoinThrottle
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members, throttle
from mlops_platform.console.pages.organization import members as page


@for_members("GET", "HEAD", "POST")
def show_all(request: MemberRequest) -> HttpResponse:
    """GET: the page. POST: founds an organization, or joins one."""
    more: dict[str, object] = {}
    if request.method == "POST":
        if "name" not in request.POST:
            throttle(request, JoinThrottle)
        try:
            found = page.enter(request.user, request.POST)
        except ValidationError as error:
            more["faults"] = page.faults_of(error)
        except Conflict as error:
            more["faults"] = {"": str(error.detail)}
        else:
            return redirect("console:organization", organization_id=found)
    return answering.show(request, "organizations", page.organizations(request.user, **more))


@for_members("GET", "HEAD", "POST")
def show(request: MemberRequest, organization_id: str) -> HttpResponse:
    """GET: the page. POST: carries out one of its buttons. A secret that it issues is in the answer
    alone: no session keeps it."""
    if request.method != "POST":
        return answering.show(
            request, "organization", page.organization_page(request.user, organization_id)
        )
    if request.POST.get("do") == "invite":
        throttle(request, InviteThrottle)
    host = f"{request.scheme}://{request.get_host()}"
    more: dict[str, object] = {}
    try:
        issued = page.do(request.user, organization_id, request.POST, host)
    except ValidationError as error:
        more["faults"] = page.faults_of(error)
    except Conflict as error:
        more["faults"] = {"": str(error.detail)}
    else:
        if not issued.secret:
            messages.success(request, issued.said)
            if request.POST.get("do") == "leave":
                return redirect("console:organizations")
            return redirect("console:organization", organization_id=organization_id)
        more["issued"] = issued
    found = page.organization_page(request.user, organization_id, **more)
    return answering.show(request, "organization", found)
