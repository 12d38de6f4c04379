from django.http import HttpResponse
from django.http.response import HttpResponseBase

from deployments.api.feed.streams import EVENT_STREAM
from mlops_platform.api.answers.streams import StreamResponse
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.news import News
from mlops_platform.console.sessions import reader_of
from organizations.access import organizations_of

MOST_ORGANIZATIONS = 50


@for_members()
def show(request: MemberRequest) -> HttpResponseBase:
    """204, after which a browser does not ask again, for a member of no organization."""
    found = organizations_of(request.user).order_by("pk")[:MOST_ORGANIZATIONS]
    organizations = [each["organization"] for each in found]
    if not organizations:
        return HttpResponse(status=204)
    news = News(organizations, reader_of(request))
    response = StreamResponse(request, news, content_type=EVENT_STREAM)
    response["X-Accel-Buffering"] = "no"  # a proxy in front must not wait for the end
    return response
