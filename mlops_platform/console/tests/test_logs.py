"""Logs as the page of a deployment reads them."""

import pytest
from django.test import Client

from accounts.models import User
from clusters.models import Runtime
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, DeploymentLog, Status
from deployments.tests.workloads import make
from organizations.models import Organization

pytestmark = pytest.mark.django_db
OUTPUT = b"epoch 1\nloss 0.5\nepoch 2\n"


@pytest.fixture
def ended(org: Organization, dev: User) -> Deployment:
    """Its output was kept."""
    cluster = make_cluster(org, runtime=Runtime.DOCKER)
    found = make(cluster, dev, Status.COMPLETED, attempt=1, name="<b>train</b>")
    DeploymentLog.objects.create(deployment=found, attempt=1, replica=0, output=OUTPUT)
    return found


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def test_a_log_is_text_that_is_searched_and_downloaded(ended: Deployment, vera: User) -> None:
    client, path = browser(vera), f"/console/deployments/{ended.pk}/log/"
    whole = client.get(path)
    assert (whole.content, whole["Content-Type"]) == (OUTPUT, "text/plain; charset=utf-8")
    assert client.get(path, {"grep": "epoch"}).content == b"epoch 1\nepoch 2\n"
    assert client.get(path, {"replica": "0", "attempt": "1", "tail": "1"}).content == b"epoch 2\n"
    assert client.get(path, {"grep": ""}).content == OUTPUT  # as a form sends an empty field
    got = client.get(f"{path}download/", {"replica": "0", "attempt": "1", "grep": ""})
    assert got["Content-Disposition"] == f'attachment; filename="{ended.pk}.log"'
    assert got.content == OUTPUT


@pytest.mark.parametrize(
    ("query", "named"), [({"replica": "7"}, "replica"), ({"attempt": "x"}, "attempt")]
)
def test_what_cannot_be_read_is_a_page_that_says_why(
    ended: Deployment, vera: User, query: dict[str, str], named: str
) -> None:
    answer = browser(vera).get(f"/console/deployments/{ended.pk}/log/", query)
    assert answer.status_code == 400
    assert f"<dt>{named}</dt>" in answer.content.decode()


def test_a_stranger_reads_no_log(ended: Deployment, sam: User) -> None:
    for path in ("log/", "log/download/"):
        answer = browser(sam).get(f"/console/deployments/{ended.pk}/{path}")
        assert answer.status_code == 404


def test_what_a_user_has_written_is_no_html(ended: Deployment, vera: User) -> None:
    for path in ("/console/deployments/", f"/console/deployments/{ended.pk}/"):
        text = browser(vera).get(path).content.decode()
        assert "<b>train" not in text
        assert "&lt;b&gt;train" in text
