from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from rest_framework.exceptions import ValidationError

from mlops_platform.api.errors import Conflict
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.organization import webhooks as page
from mlops_platform.console.pages.organization.members import faults_of


@for_members("GET", "HEAD", "POST")
def show(request: MemberRequest, organization_id: str) -> HttpResponse:
    """GET: the page. POST: carries out one of its buttons; a secret is in the answer alone."""
    more: dict[str, object] = {}
    if request.method == "POST":
        try:
            issued = page.do(request.user, organization_id, request.POST)
        except ValidationError as error:
            more["faults"] = faults_of(error)
        except Conflict as error:
            more["faults"] = {"": str(error.detail)}
        else:
            if not issued.secret:
                messages.success(request, issued.said)
                return redirect("console:webhooks", organization_id=organization_id)
            more["issued"] = issued
    found = page.webhooks_page(request.user, organization_id, **more)
    return answering.show(request, "webhooks", found)
