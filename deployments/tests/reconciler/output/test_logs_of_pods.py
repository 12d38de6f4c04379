"""GET /api/deployments/{id}/logs of a Pod: a worker reads it from an API server."""

from collections.abc import Callable, Iterator

import pytest
from django.test import Client

from accounts.models import User
from clusters.models import Endpoint
from deployments import runtime_connections
from deployments.models import Deployment
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed
from deployments.tests.runtimes.kubernetes.api_server import FakeApi
from deployments.tests.runtimes.kubernetes.kubelet import Kubelet
from organizations.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def pod(
    org: Organization, dev: User, fake_kubernetes: FakeApi, kubelet: Kubelet
) -> Iterator[Deployment]:
    testbed = KubernetesTestbed(org, {"dev": dev}, fake_kubernetes, kubelet)
    testbed.reconcile()
    row = testbed.submit("chat", "one", "two", "three")
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    yield row
    runtime_connections.disconnect(testbed.endpoint.pk)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", b"one\ntwo\nthree\n"),
        ("?tail=2", b"two\nthree\n"),
        ("?grep=t&limit=1", b"two\n"),
        ("?follow=true&skip=1&limit=1", b"two\n"),
        ("?since=2999-01-01T00:00:00Z", b""),
    ],
)
def test_the_log_of_a_pod_is_read(
    api: Callable[[User], Client], vera: User, pod: Deployment, query: str, expected: bytes
):
    answer = api(vera).get(f"/api/deployments/{pod.pk}/logs{query}")
    assert (answer.status_code, answer.getvalue()) == (200, expected)


def test_an_api_server_that_is_away_is_an_endpoint_that_does_not_answer(
    api: Callable[[User], Client], vera: User, pod: Deployment
):
    Endpoint.objects.filter(cluster=pod.cluster_id).update(url="http://127.0.0.1:9")
    answer = api(vera).get(f"/api/deployments/{pod.pk}/logs")
    assert (answer.status_code, answer.json()["code"]) == (503, "endpoint_unavailable")
