from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.organization.audit import audit_page


@for_members()
def show(request: MemberRequest, organization_id: str) -> HttpResponse:
    page = audit_page(request.user, organization_id, request.GET)
    return answering.show(request, "audit", page)
