"""A Pod that is stopped or evicted keeps its exit code and its output until both are stored."""

import pytest

from deployments.models import DeploymentLog
from deployments.runtimes.kubernetes.names import FINALIZER
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed
from deployments.tests.reconciler.testbed import reason

pytestmark = pytest.mark.django_db


def test_a_stopped_deployment_keeps_its_exit_code_and_its_output(
    kubernetes_testbed: KubernetesTestbed,
):
    testbed = kubernetes_testbed
    testbed.reconcile()
    row = testbed.submit("chat", "one", "two")
    testbed.settle()
    [pod] = testbed.pods_of(row).values()
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    stop_deployment(testbed.people["dev"], testbed.fresh(row))
    testbed.reconcile()
    testbed.kubelet.run(10)  # its kubelet is done before the platform looks again
    testbed.reconcile()
    testbed.reconcile()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.exit_code) == ("STOPPED", 143)
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"one\ntwo\n"
    assert testbed.pods_of(row) == {}


def test_an_evicted_pod_is_disrupted_and_keeps_its_output(kubernetes_testbed: KubernetesTestbed):
    testbed = kubernetes_testbed
    testbed.reconcile()
    row = testbed.submit("chat", "one")
    testbed.settle()
    [name] = testbed.pods_of(row)
    deletion = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    testbed.api.update(name, lambda pod: pod["metadata"].update(deletion))
    testbed.kubelet.run(10)
    testbed.reconcile()
    assert (testbed.status(row), reason(row)["code"]) == ("QUEUED", "DISRUPTED")
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"one\n"
    testbed.reconcile()
    assert name not in testbed.api.pods
