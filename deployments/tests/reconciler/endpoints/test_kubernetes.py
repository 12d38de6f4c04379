"""The reconciler on Kubernetes: a fake API server, and kubelets that a test lets work."""

import pytest

from accounts.models import User
from clusters.models import Cluster, Registry
from clusters.services.deletion import delete_cluster, take_turn
from clusters.services.registries import delete_registry, put_registry
from deployments import runtime_connections
from deployments.models import Deployment, DeploymentLog
from deployments.reconciler.loop import reconcile
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed
from deployments.tests.reconciler.testbed import mark_lost, reason
from deployments.tests.runtimes.kubernetes.api_server import SECRETS, Json, Name, error
from deployments.tests.workloads import allocated
from deployments.wakeup import EVERYTHING
from scheduler import audit

pytestmark = pytest.mark.django_db


def others_pod(node: str, cpu: str, memory: str) -> Json:
    requests = {"requests": {"cpu": cpu, "memory": memory}}
    return {
        "metadata": {"namespace": "kube-system", "name": f"others-on-{node}"},
        "spec": {"nodeName": node, "containers": [{"name": "main", "resources": requests}]},
        "status": {"phase": "Running"},
    }


# --- Its nodes -----------------------------------------------------------------------------------


def test_nodes_are_read_from_the_api_server_less_what_other_pods_request(
    kubernetes_testbed: KubernetesTestbed,
):
    api = kubernetes_testbed.api
    api.add_node("node-3")
    api.nodes["node-2"]["spec"]["unschedulable"] = True
    kubernetes_testbed.not_ready("node-3")
    api.put(others_pod("node-1", "1500m", "1Gi"))
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.nodes() == {
        "node-1": "READY",
        "node-2": "CORDONED",
        "node-3": "NOT_READY",
    }
    node = kubernetes_testbed.node("node-1")
    assert (node.cpu_milli, node.ram_mib, node.gpu) == (2500, 7168, 0)
    kubernetes_testbed.cluster.refresh_from_db()
    assert kubernetes_testbed.cluster.total_cpu_milli == 2500 + 4000 + 4000
    api.vanish(("kube-system", "others-on-node-1"))
    api.nodes["node-2"]["spec"].clear()
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.nodes()["node-2"] == "READY"
    assert kubernetes_testbed.node("node-1").cpu_milli == 4000


def test_the_platforms_own_pods_do_not_reduce_a_nodes_capacity(
    kubernetes_testbed: KubernetesTestbed,
):
    kubernetes_testbed.reconcile()
    kubernetes_testbed.submit(cpu_milli=3000)
    kubernetes_testbed.settle()
    assert {node.cpu_milli for node in kubernetes_testbed.cluster.nodes.all()} == {4000}


def test_a_node_that_shrinks_below_its_allocation_takes_no_deployment_until_it_fits(
    kubernetes_testbed: KubernetesTestbed, dev: User
):
    kubernetes_testbed.api.nodes.pop("node-2")
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit(cpu_milli=3000)
    kubernetes_testbed.settle()
    kubernetes_testbed.api.nodes["node-1"]["status"]["allocatable"]["cpu"] = "2"
    kubernetes_testbed.reconcile()
    node = kubernetes_testbed.node("node-1")
    assert (node.cpu_milli, node.allocated_cpu_milli) == (3000, 3000)
    assert node.effective_state == "CORDONED"
    assert audit.breaches() == []
    late = kubernetes_testbed.submit(cpu_milli=500)
    kubernetes_testbed.settle()
    assert (kubernetes_testbed.status(row), kubernetes_testbed.status(late)) == (
        "RUNNING",
        "QUEUED",
    )
    stop_deployment(dev, kubernetes_testbed.fresh(row))
    kubernetes_testbed.settle()
    kubernetes_testbed.settle()
    assert kubernetes_testbed.node("node-1").cpu_milli == 2000
    assert (kubernetes_testbed.status(row), kubernetes_testbed.status(late)) == (
        "STOPPED",
        "RUNNING",
    )


def test_a_node_that_left_the_api_server_is_deleted_once_it_has_no_allocation(
    kubernetes_testbed: KubernetesTestbed,
):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit(cpu_milli=3000)
    kubernetes_testbed.settle()
    home = kubernetes_testbed.node_of(row)
    [other] = {"node-1", "node-2"} - {home.name}
    kubernetes_testbed.api.nodes.pop(home.name)
    for name in kubernetes_testbed.pods_of(row):
        kubernetes_testbed.api.vanish(name)  # the garbage collector takes what was on it
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.status(row) == "QUEUED"
    assert reason(row)["code"] == "CONTAINER_LOST"
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.nodes() == {other: "READY"}
    kubernetes_testbed.end_retry_pauses()
    kubernetes_testbed.settle()
    assert kubernetes_testbed.status(row) == "RUNNING"
    assert kubernetes_testbed.node_of(row).name == other
    assert allocated(kubernetes_testbed.cluster) == (3000, 512, 0)


def test_a_node_that_left_the_api_server_before_its_pods_is_lost_like_any_other(
    kubernetes_testbed: KubernetesTestbed,
):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit(cpu_milli=3000)
    kubernetes_testbed.settle()
    home = kubernetes_testbed.node_of(row)
    kubernetes_testbed.api.nodes.pop(home.name)
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.nodes()[home.name] == "NOT_READY"
    assert kubernetes_testbed.status(row) == "RUNNING"
    mark_lost(home)
    kubernetes_testbed.settle()
    kubernetes_testbed.reconcile()
    assert (kubernetes_testbed.status(row), kubernetes_testbed.fresh(row).attempt) == ("RUNNING", 2)
    assert home.name not in kubernetes_testbed.nodes()


# --- What runs on them ---------------------------------------------------------------------------


def test_a_job_runs_and_completes_and_its_log_is_kept(kubernetes_testbed: KubernetesTestbed):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit("say", "one", "two")
    kubernetes_testbed.cycle()
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.status(row) == "STARTING"
    assert len(kubernetes_testbed.pods_of(row)) == 1
    kubernetes_testbed.settle()
    fresh = kubernetes_testbed.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("COMPLETED", 0)
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"one\ntwo\n"
    assert kubernetes_testbed.pods_of(row) == {}
    assert kubernetes_testbed.events(row).count("COMPLETED") == 1


def test_a_preemptors_pod_is_created_only_once_its_victims_pod_is_gone(
    kubernetes_testbed: KubernetesTestbed,
):
    kubernetes_testbed.api.nodes.pop("node-2")
    kubernetes_testbed.reconcile()
    victim = kubernetes_testbed.submit("deaf", cpu_milli=3000, grace_s=40)
    kubernetes_testbed.settle()
    assert kubernetes_testbed.status(victim) == "RUNNING"
    urgent = kubernetes_testbed.submit(cpu_milli=3000, priority="HIGH")
    kubernetes_testbed.settle()
    [pod] = kubernetes_testbed.pods_of(victim).values()
    assert 0 < pod["metadata"]["deletionGracePeriodSeconds"] <= 40
    assert (kubernetes_testbed.status(victim), kubernetes_testbed.status(urgent)) == (
        "STOPPING",
        "STARTING",
    )
    assert kubernetes_testbed.pods_of(urgent) == {}
    kubernetes_testbed.expire_grace(victim)
    kubernetes_testbed.settle()
    assert kubernetes_testbed.pods_of(victim) == {}
    assert (kubernetes_testbed.status(victim), kubernetes_testbed.status(urgent)) == (
        "QUEUED",
        "RUNNING",
    )
    fresh = kubernetes_testbed.fresh(victim)
    assert (fresh.preemption_count, fresh.retry_count) == (1, 0)


def test_a_pod_that_others_deleted_is_created_again_as_another_attempt(
    kubernetes_testbed: KubernetesTestbed,
):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit()
    kubernetes_testbed.settle()
    [name] = kubernetes_testbed.pods_of(row)
    kubernetes_testbed.api.vanish(name)
    kubernetes_testbed.reconcile()
    assert reason(row)["code"] == "CONTAINER_LOST"
    kubernetes_testbed.end_retry_pauses()
    kubernetes_testbed.settle()
    fresh = kubernetes_testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 2, 0)
    assert len(kubernetes_testbed.pods_of(row)) == 1


def test_a_deployment_on_a_lost_node_runs_elsewhere(kubernetes_testbed: KubernetesTestbed):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit()
    kubernetes_testbed.settle()
    home = kubernetes_testbed.node_of(row)
    kubernetes_testbed.not_ready(home.name)
    kubernetes_testbed.settle()
    assert kubernetes_testbed.status(row) == "RUNNING"
    assert kubernetes_testbed.fresh(row).attempt == 1
    mark_lost(home)
    kubernetes_testbed.settle()
    fresh = kubernetes_testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 2, 0)
    assert kubernetes_testbed.node_of(row) != home
    assert len(kubernetes_testbed.pods_of(row)) == 1


def test_a_leftover_that_cannot_be_killed_does_not_keep_the_passes_going(
    kubernetes_testbed: KubernetesTestbed,
):
    """Pods of a kubelet that is away stay for as long as it is away."""
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit()
    kubernetes_testbed.settle()
    home = kubernetes_testbed.node_of(row)
    kubernetes_testbed.not_ready(home.name)
    kubernetes_testbed.reconcile()
    mark_lost(home)
    for _ in range(3):
        kubernetes_testbed.cycle()
        assert reconcile(kubernetes_testbed.cluster.pk, [EVERYTHING], lambda *_: None) is False
    leftover, present = kubernetes_testbed.pods_of(row).values()
    assert leftover["metadata"]["deletionTimestamp"]
    assert "deletionTimestamp" not in present["metadata"]


# --- Its Secret ----------------------------------------------------------------------------------


@pytest.fixture
def secrets(kubernetes_testbed: KubernetesTestbed) -> dict[Name, Json]:
    """The Secrets of the namespace: one, to pull the images of what runs."""
    put_registry(kubernetes_testbed.cluster, "registry.test", "u", "p")
    kubernetes_testbed.reconcile()
    kubernetes_testbed.submit()
    kubernetes_testbed.settle()
    assert len(kubernetes_testbed.api.secrets) == 1
    return kubernetes_testbed.api.secrets


def test_the_secret_is_deleted_with_the_last_registry(
    kubernetes_testbed: KubernetesTestbed, secrets: dict[Name, Json]
):
    kubernetes_testbed.reconcile()
    assert len(secrets) == 1
    delete_registry(Registry.objects.get(cluster=kubernetes_testbed.cluster))
    kubernetes_testbed.reconcile()
    assert secrets == {}


def test_the_secret_is_deleted_with_a_cluster_in_use(
    kubernetes_testbed: KubernetesTestbed,
    secrets: dict[Name, Json],
    django_capture_on_commit_callbacks,
):
    with django_capture_on_commit_callbacks(execute=True):
        delete_cluster(kubernetes_testbed.cluster, force=True)
        kubernetes_testbed.reconcile()
        kubernetes_testbed.kubelet.run()
        kubernetes_testbed.reconcile()
    assert not Cluster.objects.exists()
    take_turn(kubernetes_testbed.cluster.pk)
    assert not Cluster.with_deleted.exists()
    assert secrets == {}


@pytest.mark.parametrize("answers", [True, False])
def test_the_secret_is_deleted_with_an_empty_cluster_if_its_server_answers(
    kubernetes_testbed: KubernetesTestbed,
    secrets: dict[Name, Json],
    dev: User,
    django_capture_on_commit_callbacks,
    answers: bool,
):
    stop_deployment(dev, Deployment.objects.get())
    kubernetes_testbed.settle()
    if not answers:
        kubernetes_testbed.api.once("delete", SECRETS, error(500, "", "etcd is away"))
    with django_capture_on_commit_callbacks(execute=True):
        assert delete_cluster(kubernetes_testbed.cluster) is not None  # no request calls a server
    assert not Cluster.objects.exists()
    take_turn(kubernetes_testbed.cluster.pk)
    assert not Cluster.with_deleted.exists()
    assert (secrets == {}) == answers
    assert not runtime_connections.is_connected(kubernetes_testbed.endpoint.pk)
