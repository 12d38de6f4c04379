"""The output of a deployment, as text, for operators: read by a worker, as for its members."""

from typing import cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from accounts.api.requests import Bearer
from accounts.models import User
from deployments.api.log_answer import answer_log
from deployments.api.log_parameters import wanted_logs
from deployments.logs import LogStream
from deployments.models import Deployment
from deployments.output.missing import DETAIL

TAIL = "1000"
SESSION_S = 3600.0


class OperatorLog(LogStream):
    """Operators are members of no organization: what they may see is a right of their own."""

    def is_allowed(self) -> bool:
        """Two queries."""
        user = self._bearer.authenticate()
        return user.is_active and user.has_perm("deployments.view_deployment")


def show(request: HttpRequest, deployment_id: str) -> HttpResponseBase:
    """The last lines, or what the query string asks for, as the API takes it. Why there are none is
    said on the deployment's page."""
    if not request.user.has_perm("deployments.view_deployment"):
        raise PermissionDenied
    rows = Deployment.objects.select_related("cluster")
    deployment = rows.filter(pk=deployment_id).first()
    if deployment is None:
        raise Http404
    asked = request.GET.copy()
    if not {"skip", "limit"} & asked.keys():
        asked.setdefault("tail", TAIL)
    request.GET = asked  # type: ignore[assignment]  # as a view may
    pk = cast(User, request.user).pk  # the admin has checked that a user is logged in
    reader = Bearer(pk, lambda: User.objects.get(pk=pk), SESSION_S)
    try:
        answer = answer_log(request, deployment, wanted_logs(Request(request)), reader, OperatorLog)
    except APIException as refusal:
        return _back(request, deployment, str(refusal.detail))
    if DETAIL in answer.headers:
        return _back(request, deployment, answer.headers[DETAIL])
    return answer


def _back(request: HttpRequest, deployment: Deployment, why: str) -> HttpResponseRedirect:
    messages.warning(request, f"No output: {why}")
    page = reverse("admin:deployments_deployment_change", args=[deployment.pk])
    return HttpResponseRedirect(page)


view = admin.site.admin_view(show)
