from django.http import HttpResponse

from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.home import home


@for_members()
def show(request: MemberRequest) -> HttpResponse:
    return answering.show(request, "home", home(request.user), live=True)
