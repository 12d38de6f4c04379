"""The Kubernetes runtime passes the contract."""

from collections.abc import Iterator

import pytest

from deployments.runtimes.base import Runtime
from deployments.runtimes.kubernetes.runtime import KubernetesRuntime
from deployments.tests.runtimes.contract import RuntimeContract
from deployments.tests.runtimes.harness import Harness, Work
from deployments.tests.runtimes.kubernetes.api_server import FakeApi
from deployments.tests.runtimes.kubernetes.cluster import runtime_at
from deployments.tests.runtimes.kubernetes.kubelet import running

IMAGE = "registry.test/busybox:1"


class KubernetesHarness(Harness):
    """Its programs are those of the fake kubelet."""

    node = "node-1"

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    def runtime(self, cluster_id: str) -> KubernetesRuntime:
        return runtime_at(self._api.url, cluster_id=cluster_id)

    def unreachable(self) -> Runtime:
        return runtime_at("http://127.0.0.1:1", timeout_s=0.5)

    def sleeps(self) -> Work:
        return Work(IMAGE, ("sleep", "1000"))

    def deaf(self) -> Work:
        return Work(IMAGE, ("deaf",))

    def exits(self, code: int) -> Work:
        return Work(IMAGE, ("exit",), (str(code),))

    def says_three_lines(self) -> Work:
        return Work(IMAGE, ("say", "one", "two", "three"))

    def says_three_lines_and_runs_on(self) -> Work:
        return Work(IMAGE, ("chat", "one", "two", "three"))

    def reveals(self, variable: str, path: str) -> Work:
        return Work(IMAGE, ("reveal", variable, path))

    def has_no_such_command(self) -> Work:
        return Work(IMAGE, ("trian",))

    def has_no_such_image(self) -> Work:
        return Work("nowhere.test/train:1")


class TestKubernetes(RuntimeContract):
    @pytest.fixture
    def harness(self, fake_kubernetes) -> Iterator[KubernetesHarness]:
        with running(fake_kubernetes):
            yield KubernetesHarness(fake_kubernetes)
