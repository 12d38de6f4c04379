"""The testbed on Kubernetes as a fixture."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from deployments import runtime_connections
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed
from deployments.tests.runtimes.kubernetes.api_server import FakeApi
from deployments.tests.runtimes.kubernetes.kubelet import Kubelet
from organizations.models import Organization
from scheduler import audit


@pytest.fixture
def kubernetes_testbed(
    db: None, org: Organization, dev: User, fake_kubernetes: FakeApi, kubelet: Kubelet
) -> Iterator[KubernetesTestbed]:
    """Two nodes of 4 cores and 8 GiB. The audit finds no breach afterwards."""
    testbed = KubernetesTestbed(org, {"dev": dev}, fake_kubernetes, kubelet)
    yield testbed
    runtime_connections.disconnect(testbed.endpoint.pk)
    assert audit.breaches() == []
