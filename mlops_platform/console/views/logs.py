from django.http.response import HttpResponseBase

from deployments.api.log_answer import answer_log
from deployments.api.log_parameters import wanted_logs
from deployments.models import Deployment
from deployments.queries.deployments import deployment_for
from mlops_platform.console.access import MemberRequest, as_user_request, for_members
from mlops_platform.console.sessions import reader_of


@for_members()
def show(request: MemberRequest, deployment_id: str) -> HttpResponseBase:
    """The log as text, with the parameters of the API's call."""
    return _answer(request, deployment_for(request.user, deployment_id))


@for_members()
def download(request: MemberRequest, deployment_id: str) -> HttpResponseBase:
    deployment = deployment_for(request.user, deployment_id)
    response = _answer(request, deployment)
    response["Content-Disposition"] = f'attachment; filename="{deployment.pk}.log"'
    return response


def _answer(request: MemberRequest, deployment: Deployment) -> HttpResponseBase:
    given = request.GET.copy()
    for name in [name for name, value in given.items() if not value]:  # as a form sends it
        del given[name]
    request.GET = given  # type: ignore[assignment]  # as good as an immutable one
    wanted = wanted_logs(as_user_request(request))
    return answer_log(request, deployment, wanted, reader_of(request))
