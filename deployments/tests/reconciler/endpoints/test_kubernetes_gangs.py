"""A gang in a Kubernetes cluster, from its admission to its end."""

import pytest

from accounts.models import User
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.endpoints.kubernetes_testbed import KubernetesTestbed

pytestmark = pytest.mark.django_db


def running_pods(testbed: KubernetesTestbed) -> list[str]:
    return [
        name for _, name in testbed.api.pods if _phase(testbed, name) in {"Running", "Succeeded"}
    ]


def _phase(testbed: KubernetesTestbed, name: str) -> str:
    return str(testbed.api.pods["mlops", name]["status"]["phase"])


def test_a_gang_begins_once_all_its_pods_are_there(kubernetes_testbed: KubernetesTestbed):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit(replicas=2, cpu_milli=3000)
    kubernetes_testbed.cycle()
    kubernetes_testbed.reconcile()
    late = kubernetes_testbed.api.nodes.pop("node-2")  # its kubelet has not seen its Pod yet
    kubernetes_testbed.kubelet.run()
    kubernetes_testbed.api.nodes["node-2"] = late
    kubernetes_testbed.reconcile()
    kubernetes_testbed.kubelet.step()
    assert running_pods(kubernetes_testbed) == []
    assert kubernetes_testbed.status(row) == "STARTING"
    kubernetes_testbed.kubelet.run()
    kubernetes_testbed.reconcile()
    kubernetes_testbed.kubelet.run()
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.status(row) == "RUNNING"
    assert len(running_pods(kubernetes_testbed)) == 2


def test_a_gang_completes_and_leaves_nothing(kubernetes_testbed: KubernetesTestbed):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit("exit", "0", replicas=2, cpu_milli=1000)
    kubernetes_testbed.settle()
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.status(row) == "COMPLETED"
    api = kubernetes_testbed.api
    assert (api.pods, api.services, api.config_maps) == ({}, {}, {})


def test_a_gang_that_is_stopped_while_it_gathers_leaves_nothing(
    kubernetes_testbed: KubernetesTestbed, dev: User
):
    kubernetes_testbed.reconcile()
    row = kubernetes_testbed.submit(replicas=2, cpu_milli=1000)
    kubernetes_testbed.cycle()
    kubernetes_testbed.reconcile()
    kubernetes_testbed.kubelet.run()
    stop_deployment(dev, kubernetes_testbed.fresh(row))
    kubernetes_testbed.settle()
    kubernetes_testbed.reconcile()
    assert kubernetes_testbed.status(row) == "STOPPED"
    api = kubernetes_testbed.api
    assert (api.pods, api.services, api.config_maps) == ({}, {}, {})
