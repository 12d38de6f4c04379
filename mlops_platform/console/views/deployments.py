from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.deployments import deployments


@for_members()
def show(request: MemberRequest) -> HttpResponse:
    page = deployments(request.user, request)
    return answering.show(request, "deployments", page, live=True)
