from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.action import carry_out, preview
from mlops_platform.console.pages.deployments import list_address


@for_members("POST")
def look(request: MemberRequest) -> HttpResponse:
    """What the action would do, with a button that does it."""
    return answering.show(request, "action", preview(request))


@for_members("POST")
def do(request: MemberRequest) -> HttpResponse:
    said = carry_out(request)
    if said is None:
        return answering.show(request, "action", preview(request, has_changed=True))
    messages.success(request, said)
    return redirect(list_address(request.POST.get("query", "")))
