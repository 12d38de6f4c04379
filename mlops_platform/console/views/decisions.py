from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.decisions import decision_page, decisions_page


@for_members()
def show_all(request: MemberRequest, cluster_id: str) -> HttpResponse:
    page = decisions_page(request.user, cluster_id, request.GET.get("before", ""))
    return answering.show(request, "decisions", page)


@for_members()
def show(request: MemberRequest, cycle_id: str) -> HttpResponse:
    return answering.show(request, "decision", decision_page(request.user, cycle_id))
