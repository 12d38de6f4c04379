"""A testbed on a Kubernetes cluster: a fake API server, and kubelets that a test lets work."""

from typing import Any

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.models import Runtime as Kind
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.runtimes.kubernetes.api_server import FakeApi, Json, Name
from deployments.tests.runtimes.kubernetes.cluster import NAMESPACE
from deployments.tests.runtimes.kubernetes.kubelet import Kubelet
from mlops_platform.sealing import seal
from organizations.models import Organization


class KubernetesTestbed(Testbed):
    """A testbed on a Kubernetes cluster; `settle` lets its kubelets work as well."""

    def __init__(self, org: Organization, people: dict[str, User], api: FakeApi, kubelet: Kubelet):
        self.api, self.kubelet, self.people = api, kubelet, people
        nothing = {"total_cpu_milli": 0, "total_ram_mib": 0, "total_gpu": 0}
        self.cluster: Cluster = make_cluster(org, name="kube", runtime=Kind.KUBERNETES, **nothing)
        self.endpoint = Endpoint.objects.create(
            cluster=self.cluster,
            url=api.url,
            namespace=NAMESPACE,
            trusted=True,
            secrets=seal({"token": "a-token"}),
        )

    def submit(self, *command: str, priority: str = "LOW", **columns: Any) -> Deployment:
        given = {"gpu": 0, "command": list(command) or ["sleep"], **columns}
        return super().submit("registry.test/train:1", priority=priority, **given)

    def settle(self) -> None:
        for _ in range(4):
            self.cycle()
            self.reconcile()
            self.kubelet.run()
        self.reconcile()

    def node(self, name: str) -> Node:
        return Node.objects.get(cluster=self.cluster, name=name)

    def nodes(self) -> dict[str, str]:
        return {node.name: node.effective_state for node in self.cluster.nodes.all()}

    def pods_of(self, row: Deployment) -> dict[Name, Json]:
        """The row's Pods, terminating ones among them."""
        return {name: pod for name, pod in self.api.pods.items() if str(row.pk) in name[1]}

    def not_ready(self, name: str) -> None:
        self.api.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
