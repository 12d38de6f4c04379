from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.cluster import cluster_page


@for_members()
def show(request: MemberRequest, cluster_id: str) -> HttpResponse:
    page = cluster_page(request.user, cluster_id, request.GET.get("after", "")[:100])
    return answering.show(request, "cluster", page, live=True)
