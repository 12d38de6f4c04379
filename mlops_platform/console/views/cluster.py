from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.cluster import cluster_page, curve_page


@for_members()
def show(request: MemberRequest, cluster_id: str) -> HttpResponse:
    page = cluster_page(request.user, cluster_id, request.GET.get("after", "")[:100])
    return answering.show(request, "cluster", page, live=True)


@for_members()
def curve(request: MemberRequest, cluster_id: str) -> HttpResponse:
    """How full it was, as a part of the cluster's page; a page of its own without JavaScript."""
    page = curve_page(request.user, cluster_id)
    if request.headers.get("HX-Request") == "true":
        return answering.part(request, "console/curve.html", {"curve": page.curve, "both": True})
    return answering.show(request, "cluster_curve", page)
