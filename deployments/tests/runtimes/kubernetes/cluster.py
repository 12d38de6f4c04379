"""A fake Kubernetes cluster for tests, and the runtime that connects to it.

Every session loads this module, so its fixtures import the libraries when a test needs them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from deployments.runtimes.base import Access, Key, LaunchSpec, ReplicaPlacement

if TYPE_CHECKING:
    from deployments.runtimes.kubernetes.runtime import KubernetesRuntime
    from deployments.tests.runtimes.kubernetes.api_server import FakeApi
    from deployments.tests.runtimes.kubernetes.kubelet import Kubelet

CLUSTER = "0190aaaa-0000-7000-8000-00000000c1c1"
OTHER_CLUSTER = "0190aaaa-0000-7000-8000-00000000c2c2"
DEPLOYMENT = "0190bbbb-0000-7000-8000-000000000001"
NAMESPACE = "mlops"
KEY = Key(DEPLOYMENT, 1, 0)
POD = f"mlops-{DEPLOYMENT}-1-0"


def launch_spec(**given: Any) -> LaunchSpec:
    """One replica on node-1 that runs until it is stopped."""
    return LaunchSpec(
        **{
            "deployment_id": DEPLOYMENT,
            "attempt": 1,
            "placement": [ReplicaPlacement(0, "node-1")],
            "name": "train",
            "image": "registry.test/train:1",
            "cpu_milli": 500,
            "ram_mib": 256,
            "gpu": 0,
            "command": ["sleep", "1000"],
            **given,
        }
    )


def runtime_at(url: str, **given: Any) -> "KubernetesRuntime":
    from deployments.runtimes.kubernetes.runtime import KubernetesRuntime

    access = given.pop("access", None) or Access(url=url, token="a-token")
    options = {
        "cluster_id": CLUSTER,
        "namespace": NAMESPACE,
        "timeout_s": 5.0,
        "watch_s": 1,
        **given,
    }
    return KubernetesRuntime(access, **options)


@pytest.fixture
def fake_kubernetes() -> "Iterator[FakeApi]":
    """An API server with two nodes."""
    from deployments.tests.runtimes.kubernetes.api_server import FakeApi, served

    with served(FakeApi()) as api:
        api.add_node("node-1")
        api.add_node("node-2")
        yield api


@pytest.fixture
def kubelet(fake_kubernetes: "FakeApi") -> "Kubelet":
    """The kubelets of all nodes; they work when a test lets them."""
    from deployments.tests.runtimes.kubernetes.kubelet import Kubelet

    return Kubelet(fake_kubernetes)


@pytest.fixture
def kubernetes(fake_kubernetes: "FakeApi") -> "Iterator[KubernetesRuntime]":
    runtime = runtime_at(fake_kubernetes.url)
    yield runtime
    runtime.close()
