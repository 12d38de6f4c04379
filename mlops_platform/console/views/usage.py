from django.http import HttpResponse
from django.http.response import HttpResponseBase

from deployments.api.usage.answering import csv_answer
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.organization.usage import usage_page, usage_table


@for_members()
def show(request: MemberRequest, organization_id: str) -> HttpResponse:
    page = usage_page(request.user, organization_id, request.GET)
    return answering.show(request, "usage", page)


@for_members()
def download(request: MemberRequest, organization_id: str) -> HttpResponseBase:
    question, groups = usage_table(request.user, organization_id, request.GET)
    return csv_answer(question, groups, f"usage-{question.begin:%Y-%m}")
