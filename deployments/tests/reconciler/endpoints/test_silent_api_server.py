"""An API server that is silent, or does not let the platform in, says nothing of its nodes."""

import pytest
from django.utils import timezone

from clusters.models import Endpoint, Node
from deployments.models import DeploymentEvent
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import AccessDenied
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed
from deployments.tests.reconciler.testbed import Testbed, mark_lost, reason
from deployments.tests.runtimes.kubernetes.api_server import NODES, PODS, error

pytestmark = pytest.mark.django_db

ANSWERS = {
    "an expired token": error(401, "Unauthorized", "Unauthorized"),
    "a right that was taken away": error(403, "Forbidden", 'pods is forbidden: User "x"'),
    "an upgrade": error(503, "ServiceUnavailable", "the server is starting"),
    "a proxy's own error": error(500, "InternalError", "etcdserver: no leader"),
    "too many requests": error(429, "TooManyRequests", "later"),
}


def silence(testbed: KubernetesTestbed, how: str) -> None:
    """From here on the API server does not answer as it should."""
    if how == "no server":
        Endpoint.objects.filter(pk=testbed.endpoint.pk).update(url="http://127.0.0.1:1")
    elif how == "no nodes":
        testbed.api.once("list", NODES, *[ANSWERS["an expired token"]] * 20)
    else:
        testbed.api.once("list", PODS, *[ANSWERS[how]] * 20)


def speak(testbed: KubernetesTestbed) -> None:
    Endpoint.objects.filter(pk=testbed.endpoint.pk).update(url=testbed.api.url)
    testbed.api.server["list", PODS] ** 20 << testbed.api._list_pods
    testbed.api.server["list", NODES] ** 20 << (
        lambda request: testbed.api._listed(request, testbed.api.nodes.values())
    )
    circuit_breaker.answered(testbed.endpoint.pk)


def wait_longer_than_a_node_may_be_lost(testbed: Testbed) -> None:
    testbed.cluster.node_lost_after_s = 0
    testbed.cluster.save(update_fields=["node_lost_after_s"])
    testbed.reconcile()
    circuit_breaker.answered(testbed.cluster.endpoints.get().pk)
    testbed.reconcile()


@pytest.mark.parametrize("how", ["no server", "no nodes", *ANSWERS])
def test_nothing_is_lost_while_the_api_server_is_silent_and_all_goes_on_afterwards(
    kubernetes_testbed: KubernetesTestbed, how: str
):
    testbed = kubernetes_testbed
    testbed.reconcile()
    running, stopping = testbed.submit(cpu_milli=1000), testbed.submit(cpu_milli=500)
    testbed.settle()
    before = {name: pod["metadata"]["uid"] for name, pod in testbed.api.pods.items()}
    silence(testbed, how)
    wait_longer_than_a_node_may_be_lost(testbed)
    assert set(testbed.nodes().values()) == {"NOT_READY"}
    assert (testbed.status(running), testbed.fresh(running).attempt) == ("RUNNING", 1)
    stop_deployment(testbed.people["dev"], testbed.fresh(stopping))
    wait_longer_than_a_node_may_be_lost(testbed)
    assert testbed.status(stopping) == "STOPPING"
    speak(testbed)
    testbed.reconcile(str(running.pk))  # the first pass need not be a full one
    testbed.settle()
    assert set(testbed.nodes().values()) == {"READY"}
    assert (testbed.status(running), testbed.fresh(running).attempt) == ("RUNNING", 1)
    assert testbed.status(stopping) == "STOPPED"
    [name] = testbed.pods_of(running)
    assert testbed.api.pods[name]["metadata"]["uid"] == before[name]
    assert "deletionTimestamp" not in testbed.api.pods[name]["metadata"]
    assert not DeploymentEvent.objects.filter(deployment=running, type="REQUEUED").exists()


def test_a_node_that_was_not_ready_before_the_silence_is_lost_by_what_is_said_of_it_afterwards(
    kubernetes_testbed: KubernetesTestbed,
):
    testbed = kubernetes_testbed
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    home = testbed.node_of(row)
    testbed.not_ready(home.name)
    testbed.reconcile()
    mark_lost(home)
    silence(testbed, "no server")
    wait_longer_than_a_node_may_be_lost(testbed)
    assert testbed.status(row) == "RUNNING"
    testbed.cluster.node_lost_after_s = 300
    testbed.cluster.save(update_fields=["node_lost_after_s"])
    speak(testbed)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert Node.objects.get(pk=home.pk).not_ready_since is not None
    mark_lost(home)
    testbed.settle()
    assert testbed.fresh(row).attempt == 2


def test_the_cluster_its_deployments_and_those_that_wait_say_since_when_it_is_silent(
    kubernetes_testbed: KubernetesTestbed, api, vera
):
    testbed = kubernetes_testbed
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    silence(testbed, "an expired token")
    testbed.reconcile()
    late = testbed.submit()
    starting = testbed.submit()
    testbed.settle()
    since = Endpoint.objects.get(pk=testbed.endpoint.pk).away_since
    assert since is not None
    assert since <= timezone.now()
    found = reason(row)
    assert (found["code"], found["details"]) == ("API_AWAY", {"since": since.isoformat()})
    words = f"has not answered since {since:%Y-%m-%d %H:%M:%S} UTC: what runs there runs on."
    assert words in found["message"]
    assert words in reason(late)["message"]
    assert testbed.status(starting) == "QUEUED"
    shown = api(vera).get(f"/api/clusters/{testbed.cluster.pk}").json()["endpoint"]
    assert shown["away_since"].startswith(f"{since:%Y-%m-%dT%H:%M:%S}")
    assert shown["error"]
    circuit_breaker.answered(testbed.endpoint.pk)
    testbed.reconcile()
    assert Endpoint.objects.get(pk=testbed.endpoint.pk).away_since == since
    speak(testbed)
    testbed.settle()
    assert reason(row) == {}
    assert api(vera).get(f"/api/clusters/{testbed.cluster.pk}").json()["endpoint"]["error"] is None
    assert Endpoint.objects.get(pk=testbed.endpoint.pk).away_since is None


def test_an_engine_that_does_not_let_the_platform_in_is_not_lost(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()

    def refuse(*_: object) -> None:
        raise AccessDenied("tlsv13 alert certificate expired")

    testbed.intercept(a, "observe", refuse)
    wait_longer_than_a_node_may_be_lost(testbed)
    node = Node.objects.get(pk=a.pk)
    assert (node.effective_state, node.not_ready_since) == ("NOT_READY", None)
    assert testbed.status(row) == "RUNNING"
    assert reason(row)["details"]["since"]
    testbed.intercept(a, "observe", None)
    testbed.reconnect(a)
    testbed.settle()
    assert (testbed.status(row), testbed.fresh(row).attempt) == ("RUNNING", 1)
    assert Node.objects.get(pk=a.pk).effective_state == "READY"


def test_an_engine_that_falls_silent_after_a_refusal_is_lost_from_then_on(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()

    def refuse(*_: object) -> None:
        raise AccessDenied("tlsv13 alert certificate expired")

    testbed.intercept(a, "observe", refuse)
    testbed.reconcile()
    testbed.intercept(a, "observe", None)
    testbed.disconnect(a)
    circuit_breaker.answered(testbed.cluster.endpoints.get().pk)
    testbed.reconcile()
    assert Node.objects.get(pk=a.pk).not_ready_since is not None
    assert testbed.status(row) == "RUNNING"
    mark_lost(a)
    testbed.reconcile()
    assert reason(row)["code"] == "NODE_LOST"
