from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import NotAuthenticated

from accounts.api.requests import Bearer
from accounts.models import User
from deployments.api.log_answer import answer_log
from deployments.api.log_parameters import wanted_logs
from deployments.models import Deployment
from deployments.queries.deployments import deployment_for
from mlops_platform.console.access import MemberRequest, as_user_request, for_members


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
    wanted = wanted_logs(as_user_request(request))
    return answer_log(request, deployment, wanted, _reader(request))


def _reader(request: MemberRequest) -> Bearer:
    """The user of the session, for a stream that goes on while the session does."""
    key, hashed = request.user.pk, request.user.password
    left_s = (request.session.get_expiry_date() - timezone.now()).total_seconds()

    def authenticate() -> User:
        found = User.objects.filter(pk=key, is_active=True, password=hashed).first()
        if found is None:
            raise NotAuthenticated
        return found

    return Bearer(key, authenticate, left_s)
