"""The Pods of a gang find each other, and their programs begin together."""

from typing import Any

import pytest

from deployments.runtimes.base import LaunchSpec, Phase, ReplicaPlacement, RuntimeUnavailable
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.runtimes.peers import Peers
from deployments.tests.runtimes.harness import key_of
from deployments.tests.runtimes.kubernetes.api_server import PODS, SERVICES, error
from deployments.tests.runtimes.kubernetes.cluster import (
    CLUSTER,
    DEPLOYMENT,
    NAMESPACE,
    launch_spec,
)

GROUP = f"mlops-{DEPLOYMENT}-1"
NAME = (NAMESPACE, GROUP)


def gang(**given: Any) -> LaunchSpec:
    placement = [ReplicaPlacement(0, "node-1"), ReplicaPlacement(1, "node-2")]
    return launch_spec(**{"placement": placement, "peers": Peers(GROUP, 2), **given})


def statuses(kubernetes):
    return sorted(kubernetes.observe([DEPLOYMENT]), key=lambda each: each.key)


def phases(kubernetes):
    return [each.phase for each in statuses(kubernetes)]


def begun(kubernetes):
    return [each.begun for each in statuses(kubernetes)]


def test_a_pod_of_a_gang_has_a_name_a_hostfile_and_something_to_wait_for():
    spec = gang()
    pod = pod_of(spec, spec.placement[1], CLUSTER)
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("replica-1", GROUP)
    [container] = pod["spec"]["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert env["MASTER_ADDR"]["value"] == f"replica-0.{GROUP}"
    assert env["RANK"]["value"] == "1"
    assert env["MLOPS_GANG"]["valueFrom"] == {
        "configMapKeyRef": {"name": GROUP, "key": "MLOPS_GANG"}
    }
    assert len(env) == len(container["env"])
    [mount] = [each for each in container["volumeMounts"] if each["mountPath"] == "/etc/mlops"]
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    [item] = volume["downwardAPI"]["items"]
    assert item["path"] == "hostfile"
    assert spec.peers is not None
    assert spec.peers.hostfile in pod["metadata"]["annotations"].values()


def test_names_lead_to_pods_from_their_first_moment_on(fake_kubernetes, kubernetes):
    kubernetes.start(gang())
    service = fake_kubernetes.services[NAME]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    for pod in fake_kubernetes.pods.values():
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_no_program_begins_before_all_pods_have_their_image(fake_kubernetes, kubernetes, kubelet):
    """The second node joins late: the first Pod is scheduled, has its image, and waits."""
    late = fake_kubernetes.nodes.pop("node-2")
    kubernetes.start(gang())
    kubelet.run()
    assert begun(kubernetes) == [False, True]
    assert phases(kubernetes) == [Phase.PENDING, Phase.PENDING]
    kubernetes.start(gang())
    kubelet.run()
    assert phases(kubernetes) == [Phase.PENDING, Phase.PENDING]
    assert fake_kubernetes.config_maps == {}
    fake_kubernetes.nodes["node-2"] = late
    kubelet.run()
    assert begun(kubernetes) == [False, False]
    kubernetes.start(gang())
    assert begun(kubernetes) == [True, True]  # though no kubelet has looked yet
    kubelet.run()
    assert phases(kubernetes) == [Phase.RUNNING, Phase.RUNNING]


def test_a_pod_that_waits_for_another_config_map_has_a_problem(
    fake_kubernetes, kubernetes, kubelet
):
    kubernetes.start(gang())
    kubelet.run()
    other = {"reason": "CreateContainerConfigError", "message": 'secret "theirs" not found'}
    status = {"containerStatuses": [{"name": "main", "state": {"waiting": other}}]}
    for name in fake_kubernetes.pods:
        fake_kubernetes.update(name, lambda pod: pod["status"].update(status))
    assert [str(each.problem.code) for each in statuses(kubernetes)] == ["REFUSED", "REFUSED"]
    assert begun(kubernetes) == [True, True]


def test_a_worker_killed_after_the_pods_were_created_leaves_the_rest_to_the_next(
    fake_kubernetes, kubernetes, kubelet
):
    fake_kubernetes.once("create", SERVICES, error(500, "InternalError", "etcd is away"))
    with pytest.raises(RuntimeUnavailable):
        kubernetes.start(gang())
    kubelet.run()
    kubernetes.start(gang())
    kubelet.run()
    assert NAME in fake_kubernetes.services
    assert phases(kubernetes) == [Phase.RUNNING, Phase.RUNNING]


def test_without_the_right_to_patch_pods_a_gang_begins_all_the_same(
    fake_kubernetes, kubernetes, kubelet
):
    """A kubelet looks by itself, only later."""
    sentence = 'pods "x" is forbidden: User "x" cannot patch resource "pods"'
    fake_kubernetes.once("patch", PODS, *[error(403, "Forbidden", sentence)] * 9)
    for _ in range(3):
        kubernetes.start(gang())
        kubelet.run()
    assert phases(kubernetes) == [Phase.RUNNING, Phase.RUNNING]


def test_an_account_without_the_right_is_said(fake_kubernetes, kubernetes):
    sentence = 'services is forbidden: User "x" cannot create resource "services"'
    fake_kubernetes.once("create", SERVICES, error(403, "Forbidden", sentence))
    with pytest.raises(RuntimeUnavailable, match="services is forbidden"):
        kubernetes.start(gang())


def test_nothing_of_a_gang_is_left_after_its_pods(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(gang())
    kubelet.run()
    kubernetes.start(gang())
    kubelet.run()
    assert NAME in fake_kubernetes.config_maps
    kubernetes.remove(key_of(gang(), 1))
    assert NAME in fake_kubernetes.services
    kubernetes.remove(key_of(gang(), 0))
    assert (fake_kubernetes.services, fake_kubernetes.config_maps) == ({}, {})


def test_what_the_platform_does_not_remove_goes_with_the_pod_of_replica_0(
    fake_kubernetes, kubernetes
):
    kubernetes.start(gang())
    first = fake_kubernetes.pods[NAMESPACE, f"{GROUP}-0"]
    [owner] = fake_kubernetes.services[NAME]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Pod", first["metadata"]["uid"])
    fake_kubernetes.vanish((NAMESPACE, f"{GROUP}-0"))
    assert fake_kubernetes.services == {}


def test_a_single_pod_has_no_service_and_waits_for_nothing(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    assert phases(kubernetes) == [Phase.RUNNING]
    assert (fake_kubernetes.services, fake_kubernetes.config_maps) == ({}, {})
