from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from deployments.queries.deployments import deployment_for
from deployments.services import stop as stopping
from mlops_platform.console import answering
from mlops_platform.console.access import MemberRequest, for_members
from mlops_platform.console.pages.deployment import deployment_page
from organizations.access import require
from organizations.models import Role


@for_members()
def show(request: MemberRequest, deployment_id: str) -> HttpResponse:
    page = deployment_page(request.user, deployment_id)
    return answering.show(request, "deployment", page, live=True)


@for_members("POST")
def stop(request: MemberRequest, deployment_id: str) -> HttpResponse:
    deployment = deployment_for(request.user, deployment_id)
    require(request.user, deployment.cluster.organization_id, Role.DEVELOPER)
    stopped = stopping.stop_deployment(request.user, deployment)
    messages.success(request, f"It is {stopped.status}.")
    return redirect("console:deployment", deployment_id=deployment_id)
