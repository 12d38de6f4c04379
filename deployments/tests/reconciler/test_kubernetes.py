"""The same on Kubernetes: an API server, and kubelets that move when they are told."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, Registry
from clusters.models import Runtime as Kind
from clusters.secrets import seal
from clusters.services.clusters import delete_cluster
from clusters.services.registries import delete_registry, put_registry
from clusters.tests.allocation import make_cluster
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentLog
from deployments.reconciler import reconcile
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site, lose
from deployments.tests.reconciler.test_life import reason
from deployments.tests.runtimes.kubernetes.api_server import SECRETS, FakeApi, Json, Name, error
from deployments.tests.runtimes.kubernetes.cluster import NAMESPACE
from deployments.tests.runtimes.kubernetes.kubelet import Kubelet
from deployments.tests.workloads import allocated
from deployments.wakeup import EVERYTHING
from organizations.models import Organization
from scheduler import audit

pytestmark = pytest.mark.django_db


class KubeSite(Site):
    """A cluster that is a Kubernetes cluster; `settle` lets its kubelets work as well."""

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
            self.look()
            self.kubelet.run()
        self.look()

    def node(self, name: str) -> Node:
        return Node.objects.get(cluster=self.cluster, name=name)

    def nodes(self) -> dict[str, str]:
        return {node.name: node.effective_state for node in self.cluster.nodes.all()}

    def pods_of(self, row: Deployment) -> dict[Name, Json]:
        """Those that are there, going or not."""
        return {name: pod for name, pod in self.api.pods.items() if str(row.pk) in name[1]}

    def not_ready(self, name: str) -> None:
        self.api.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]


@pytest.fixture
def kube_site(
    db: None, org: Organization, dev: User, fake_kubernetes: FakeApi, kubelet: Kubelet
) -> Iterator[KubeSite]:
    """Two nodes of 4 cores and 8 GiB. Whatever a test does, the books are right afterwards."""
    site = KubeSite(org, {"dev": dev}, fake_kubernetes, kubelet)
    yield site
    kept = runtime_connections._kept.pop(site.endpoint.pk, None)
    if kept is not None:
        kept[1].close()
    assert audit.breaches() == []


def others_pod(node: str, cpu: str, memory: str) -> Json:
    requests = {"requests": {"cpu": cpu, "memory": memory}}
    return {
        "metadata": {"namespace": "kube-system", "name": f"others-on-{node}"},
        "spec": {"nodeName": node, "containers": [{"name": "main", "resources": requests}]},
        "status": {"phase": "Running"},
    }


# --- Its nodes -----------------------------------------------------------------------------------


def test_nodes_come_as_they_are_without_what_others_take(kube_site: KubeSite):
    api = kube_site.api
    api.add_node("node-3")
    api.nodes["node-2"]["spec"]["unschedulable"] = True
    kube_site.not_ready("node-3")
    api.put(others_pod("node-1", "1500m", "1Gi"))
    kube_site.look()
    assert kube_site.nodes() == {"node-1": "READY", "node-2": "CORDONED", "node-3": "NOT_READY"}
    node = kube_site.node("node-1")
    assert (node.cpu_milli, node.ram_mib, node.gpu) == (2500, 7168, 0)
    kube_site.cluster.refresh_from_db()
    assert kube_site.cluster.total_cpu_milli == 2500 + 4000 + 4000
    api.vanish(("kube-system", "others-on-node-1"))
    api.nodes["node-2"]["spec"].clear()
    kube_site.look()
    assert kube_site.nodes()["node-2"] == "READY"
    assert kube_site.node("node-1").cpu_milli == 4000


def test_our_own_pods_are_not_taken_for_others(kube_site: KubeSite):
    kube_site.look()
    kube_site.submit(cpu_milli=3000)
    kube_site.settle()
    assert {node.cpu_milli for node in kube_site.cluster.nodes.all()} == {4000}


def test_a_node_that_shrinks_below_what_is_booked_takes_nobody_new_until_it_fits(
    kube_site: KubeSite, dev: User
):
    kube_site.api.nodes.pop("node-2")
    kube_site.look()
    row = kube_site.submit(cpu_milli=3000)
    kube_site.settle()
    kube_site.api.nodes["node-1"]["status"]["allocatable"]["cpu"] = "2"
    kube_site.look()
    node = kube_site.node("node-1")
    assert (node.cpu_milli, node.allocated_cpu_milli) == (3000, 3000)
    assert node.effective_state == "CORDONED"
    assert audit.breaches() == []
    late = kube_site.submit(cpu_milli=500)
    kube_site.settle()
    assert (kube_site.status(row), kube_site.status(late)) == ("RUNNING", "QUEUED")
    stop_deployment(dev, kube_site.fresh(row))
    kube_site.settle()
    kube_site.settle()
    assert kube_site.node("node-1").cpu_milli == 2000
    assert (kube_site.status(row), kube_site.status(late)) == ("STOPPED", "RUNNING")


def test_a_node_that_left_the_api_goes_once_nothing_is_booked_on_it(kube_site: KubeSite):
    kube_site.look()
    row = kube_site.submit(cpu_milli=3000)
    kube_site.settle()
    home = kube_site.node_of(row)
    [other] = {"node-1", "node-2"} - {home.name}
    kube_site.api.nodes.pop(home.name)
    for name in kube_site.pods_of(row):
        kube_site.api.vanish(name)  # the garbage collector takes what was on it
    kube_site.look()
    assert kube_site.status(row) == "QUEUED"
    assert reason(row)["code"] == "CONTAINER_LOST"
    kube_site.look()
    assert kube_site.nodes() == {other: "READY"}
    kube_site.end_pauses()
    kube_site.settle()
    assert kube_site.status(row) == "RUNNING"
    assert kube_site.node_of(row).name == other
    assert allocated(kube_site.cluster) == (3000, 512, 0)


def test_a_node_that_left_while_its_pods_are_still_told_of_is_lost_like_any_other(
    kube_site: KubeSite,
):
    kube_site.look()
    row = kube_site.submit(cpu_milli=3000)
    kube_site.settle()
    home = kube_site.node_of(row)
    kube_site.api.nodes.pop(home.name)
    kube_site.look()
    assert kube_site.nodes()[home.name] == "NOT_READY"
    assert kube_site.status(row) == "RUNNING"
    lose(home)
    kube_site.settle()
    kube_site.look()
    assert (kube_site.status(row), kube_site.fresh(row).attempt) == ("RUNNING", 2)
    assert home.name not in kube_site.nodes()


# --- What runs on them ---------------------------------------------------------------------------


def test_it_runs_and_completes_and_its_output_is_kept(kube_site: KubeSite):
    kube_site.look()
    row = kube_site.submit("say", "one", "two")
    kube_site.cycle()
    kube_site.look()
    assert kube_site.status(row) == "STARTING"
    assert len(kube_site.pods_of(row)) == 1
    kube_site.settle()
    fresh = kube_site.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("COMPLETED", 0)
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"one\ntwo\n"
    assert kube_site.pods_of(row) == {}
    assert kube_site.events(row).count("COMPLETED") == 1


def test_a_preemptors_pod_is_made_only_once_its_victims_is_gone(kube_site: KubeSite):
    kube_site.api.nodes.pop("node-2")
    kube_site.look()
    victim = kube_site.submit("deaf", cpu_milli=3000, grace_s=40)
    kube_site.settle()
    assert kube_site.status(victim) == "RUNNING"
    urgent = kube_site.submit(cpu_milli=3000, priority="HIGH")
    kube_site.settle()
    [pod] = kube_site.pods_of(victim).values()
    assert 0 < pod["metadata"]["deletionGracePeriodSeconds"] <= 40
    assert (kube_site.status(victim), kube_site.status(urgent)) == ("STOPPING", "STARTING")
    assert kube_site.pods_of(urgent) == {}
    kube_site.overdue(victim)
    kube_site.settle()
    assert kube_site.pods_of(victim) == {}
    assert (kube_site.status(victim), kube_site.status(urgent)) == ("QUEUED", "RUNNING")
    fresh = kube_site.fresh(victim)
    assert (fresh.preemption_count, fresh.retry_count) == (1, 0)


def test_a_pod_that_somebody_else_deleted_is_made_again_as_another_attempt(kube_site: KubeSite):
    kube_site.look()
    row = kube_site.submit()
    kube_site.settle()
    [name] = kube_site.pods_of(row)
    kube_site.api.vanish(name)
    kube_site.look()
    assert reason(row)["code"] == "CONTAINER_LOST"
    kube_site.end_pauses()
    kube_site.settle()
    fresh = kube_site.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 2, 0)
    assert len(kube_site.pods_of(row)) == 1


def test_what_ran_on_a_node_that_is_away_for_too_long_runs_elsewhere(kube_site: KubeSite):
    kube_site.look()
    row = kube_site.submit()
    kube_site.settle()
    home = kube_site.node_of(row)
    kube_site.not_ready(home.name)
    kube_site.settle()
    assert kube_site.status(row) == "RUNNING"
    assert kube_site.fresh(row).attempt == 1
    lose(home)
    kube_site.settle()
    fresh = kube_site.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 2, 0)
    assert kube_site.node_of(row) != home
    assert len(kube_site.pods_of(row)) == 1


def test_remains_that_nobody_can_end_do_not_keep_the_passes_going(kube_site: KubeSite):
    """A kubelet that is away says nothing of its Pods, which stay for as long as it does."""
    kube_site.look()
    row = kube_site.submit()
    kube_site.settle()
    home = kube_site.node_of(row)
    kube_site.not_ready(home.name)
    kube_site.look()
    lose(home)
    for _ in range(3):
        kube_site.cycle()
        assert reconcile(kube_site.cluster.pk, [EVERYTHING], lambda *_: None) is False
    remains, present = kube_site.pods_of(row).values()
    assert remains["metadata"]["deletionTimestamp"]
    assert "deletionTimestamp" not in present["metadata"]


# --- What else is left there ---------------------------------------------------------------------


@pytest.fixture
def secrets(kube_site: KubeSite) -> dict[Name, Json]:
    """Those of its namespace: one, for the images of what runs."""
    put_registry(kube_site.cluster, "registry.test", "u", "p")
    kube_site.look()
    kube_site.submit()
    kube_site.settle()
    assert len(kube_site.api.secrets) == 1
    return kube_site.api.secrets


def test_credentials_go_with_the_last_registry(kube_site: KubeSite, secrets: dict[Name, Json]):
    kube_site.look()
    assert len(secrets) == 1
    delete_registry(Registry.objects.get(cluster=kube_site.cluster))
    kube_site.look()
    assert secrets == {}


def test_credentials_go_with_a_cluster_in_use(
    kube_site: KubeSite, secrets: dict[Name, Json], django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        delete_cluster(kube_site.cluster, force=True)
        kube_site.look()
        kube_site.kubelet.run()
        kube_site.look()
    assert not Cluster.objects.exists()
    assert secrets == {}


@pytest.mark.parametrize("answers", [True, False])
def test_credentials_go_with_an_empty_cluster_if_its_server_answers(
    kube_site: KubeSite,
    secrets: dict[Name, Json],
    dev: User,
    django_capture_on_commit_callbacks,
    answers: bool,
):
    stop_deployment(dev, Deployment.objects.get())
    kube_site.settle()
    if not answers:
        kube_site.api.once("delete", SECRETS, error(500, "", "etcd is away"))
    with django_capture_on_commit_callbacks(execute=True):
        assert delete_cluster(kube_site.cluster) is None
    assert not Cluster.objects.exists()
    assert (secrets == {}) == answers
    assert kube_site.endpoint.pk not in runtime_connections._kept
