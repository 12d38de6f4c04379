"""The Secret of a Pod: when it is there, whose it is, and when it goes."""

import json
from base64 import b64decode
from traceback import format_exception
from typing import Any

import pytest

from deployments.runtimes.base import (
    Code,
    Container,
    RefusedError,
    ReplicaPlacement,
    RuntimeUnavailable,
    Secrets,
)
from deployments.runtimes.kubernetes import secrets
from deployments.runtimes.mounts import Mount
from deployments.runtimes.peers import Peers, group_of
from deployments.tests.runtimes.kubernetes.api_server import AS_EVER, PODS, SECRETS, error
from deployments.tests.runtimes.kubernetes.cluster import KEY, POD, launch_spec, runtime_at

VALUE = "hunter2-quite-unlikely"
BOTH = Secrets({"TOKEN": VALUE}, {"hub/token": f"{VALUE}\n", "plain": "x"})
NAME = ("mlops", POD)


def content(secret: dict[str, Any]) -> dict[str, str]:
    return {name: b64decode(value).decode() for name, value in secret["data"].items()}


def start(api, **given):
    runtime_at(api.url).start(launch_spec(secrets=BOTH, **given))


def test_a_secret_belongs_to_its_pod_and_the_pod_has_no_value(fake_kubernetes):
    start(fake_kubernetes)
    pod, secret = fake_kubernetes.pods[NAME], fake_kubernetes.secrets[NAME]
    assert content(secret) == {"env.TOKEN": VALUE, "file.0": f"{VALUE}\n", "file.1": "x"}
    assert secret["immutable"] is True
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": POD, "uid": pod["metadata"]["uid"]}
    ]
    assert VALUE not in json.dumps(pod)
    assert pod["spec"]["schedulingGates"] == []
    assert not secrets.is_gated(pod)


def test_each_replica_has_one(fake_kubernetes):
    placement = [ReplicaPlacement(number, "node-1") for number in (0, 1)]
    start(fake_kubernetes, placement=placement)
    assert fake_kubernetes.secrets.keys() == fake_kubernetes.pods.keys()
    assert len(fake_kubernetes.secrets) == 2


def test_it_goes_with_its_pod(fake_kubernetes, kubelet):
    start(fake_kubernetes)
    kubelet.run()
    assert fake_kubernetes.secrets
    runtime_at(fake_kubernetes.url).remove(KEY)
    kubelet.run()
    assert not fake_kubernetes.pods
    assert not fake_kubernetes.secrets


def test_without_secrets_a_pod_has_neither_gate_nor_volume(fake_kubernetes):
    runtime_at(fake_kubernetes.url).start(launch_spec())
    pod = fake_kubernetes.pods[NAME]
    assert "schedulingGates" not in pod["spec"]
    assert not [each for each in pod["spec"]["volumes"] if "secret" in each]
    assert not fake_kubernetes.secrets


@pytest.mark.parametrize(
    ("action", "resource"), [("create", SECRETS), ("patch", PODS)], ids=["Secret", "gate"]
)
def test_a_worker_that_is_killed_half_way_leaves_a_pod_that_waits_for_the_next_one(
    fake_kubernetes, kubelet, action, resource
):
    """Killed, or cut off from the API server: nothing more is heard of it."""
    runtime = runtime_at(fake_kubernetes.url)
    runtime.start(launch_spec(deployment_id="0190bbbb-0000-7000-8000-000000000002"))
    before = [AS_EVER] if action == "patch" else []  # the question whether it may patch
    fake_kubernetes.once(action, resource, *before, error(500, "Gone", "no more"))
    with pytest.raises(RuntimeUnavailable):
        start(fake_kubernetes)
    kubelet.run()
    (status,) = runtime.observe([KEY.deployment_id])
    assert not status.begun
    assert status.problem is None
    start(fake_kubernetes)
    kubelet.run()
    (status,) = runtime.observe([KEY.deployment_id])
    assert (status.begun, status.ready) == (True, True)
    assert content(fake_kubernetes.secrets[NAME])["env.TOKEN"] == VALUE


@pytest.mark.parametrize(("opened", "expected"), [(0, "newer"), (1, VALUE)])
def test_pods_get_one_version_though_a_worker_was_killed_before_a_rotation(
    fake_kubernetes, opened, expected
):
    """The newest one, unless a Pod has gone to its node with the other before it was killed."""
    placement = [ReplicaPlacement(number, "node-1") for number in (0, 1)]
    gone = error(500, "Gone", "no more")
    fake_kubernetes.once("patch", PODS, *[AS_EVER] * (1 + opened), gone)  # first, whether it may
    with pytest.raises(RuntimeUnavailable):
        start(fake_kubernetes, placement=placement)
    assert len(fake_kubernetes.secrets) == 2
    newer = Secrets({"TOKEN": "newer"}, BOTH.files)
    runtime_at(fake_kubernetes.url).start(launch_spec(secrets=newer, placement=placement))
    values = [content(each)["env.TOKEN"] for each in fake_kubernetes.secrets.values()]
    assert values == [expected, expected]
    assert not any(secrets.is_gated(pod) for pod in fake_kubernetes.pods.values())


def test_a_pod_that_has_begun_keeps_its_secret(fake_kubernetes):
    start(fake_kubernetes)
    runtime_at(fake_kubernetes.url).start(launch_spec(secrets=Secrets({"TOKEN": "newer"})))
    assert content(fake_kubernetes.secrets[NAME])["env.TOKEN"] == VALUE


def test_a_secret_that_an_earlier_pod_has_left_is_replaced(fake_kubernetes):
    start(fake_kubernetes)
    left = fake_kubernetes.secrets[NAME]
    fake_kubernetes.vanish(NAME)
    fake_kubernetes.secrets[NAME] = left  # the garbage collector is slow
    runtime_at(fake_kubernetes.url).start(launch_spec(secrets=Secrets({"TOKEN": "newer"})))
    secret = fake_kubernetes.secrets[NAME]
    assert content(secret) == {"env.TOKEN": "newer"}
    [owner] = secret["metadata"]["ownerReferences"]
    assert owner["uid"] == fake_kubernetes.pods[NAME]["metadata"]["uid"]


def test_a_secret_of_others_with_its_name_is_left_alone(fake_kubernetes):
    theirs = {"metadata": {"name": POD, "resourceVersion": "1"}, "data": {}}
    fake_kubernetes.secrets[NAME] = theirs
    with pytest.raises(RefusedError) as refusal:
        start(fake_kubernetes)
    assert refusal.value.problem.code == Code.REFUSED
    assert fake_kubernetes.secrets[NAME] is theirs
    assert secrets.is_gated(fake_kubernetes.pods[NAME])


def test_gates_of_others_stay(fake_kubernetes):
    def gated(pod):
        pod["spec"]["schedulingGates"].append({"name": "theirs"})

    fake_kubernetes.admit = gated
    start(fake_kubernetes)
    assert fake_kubernetes.pods[NAME]["spec"]["schedulingGates"] == [{"name": "theirs"}]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (422, "Invalid", RefusedError),
        (400, "BadRequest", RefusedError),
        (413, "RequestEntityTooLarge", RefusedError),
        (403, "Forbidden", RuntimeUnavailable),
        (404, "NotFound", RuntimeUnavailable),
        (500, "InternalError", RuntimeUnavailable),
    ],
)
def test_what_a_webhook_says_of_a_secret_is_not_repeated(fake_kubernetes, status, reason, kind):
    fake_kubernetes.once("create", SECRETS, error(status, reason, f"bad value: {VALUE}"))
    with pytest.raises(kind) as refused:
        start(fake_kubernetes)
    written = "".join(format_exception(refused.value))
    assert VALUE not in f"{refused.value!r} {written}"
    assert secrets.is_gated(fake_kubernetes.pods[NAME])


def test_a_right_that_is_missing_is_named(fake_kubernetes):
    said = 'secrets is forbidden: User "mlops" cannot create resource "secrets"'
    fake_kubernetes.once("create", SECRETS, error(403, "Forbidden", said))
    with pytest.raises(RuntimeUnavailable, match="cannot create resource"):
        start(fake_kubernetes)


def test_a_gang_of_which_one_waits_for_its_secrets_gets_them_from_the_next_worker(
    fake_kubernetes, kubelet
):
    placement = [ReplicaPlacement(number, "node-1") for number in (0, 1)]
    peers = Peers(group_of(KEY.deployment_id, 1), 2)
    fake_kubernetes.once("create", SECRETS, AS_EVER, error(500, "Gone", "no more"))
    with pytest.raises(RuntimeUnavailable):
        start(fake_kubernetes, placement=placement, peers=peers)
    for _ in range(3):
        start(fake_kubernetes, placement=placement, peers=peers)
        kubelet.run()
    statuses = runtime_at(fake_kubernetes.url).observe()
    assert [status.ready for status in statuses] == [True, True]
    assert fake_kubernetes.secrets.keys() == fake_kubernetes.pods.keys()


@pytest.mark.parametrize(
    ("user", "mounts", "mode", "group"),
    [
        ("", (), 0o400, 65534),
        ("1000", (), 0o400, 65534),
        ("1000:7", (), 0o400, 7),
        ("0", (), 0o400, None),
        ("1000", (Mount("data", "PVC", "/data", source={"claim": "data"}),), 0o444, None),
    ],
)
def test_the_containers_user_may_read_the_files(fake_kubernetes, user, mounts, mode, group):
    start(fake_kubernetes, container=Container(user=user), mounts=mounts)
    spec = fake_kubernetes.pods[NAME]["spec"]
    [volume] = [each["secret"] for each in spec["volumes"] if "secret" in each]
    assert volume["secretName"] == POD
    assert volume["items"] == [
        {"key": "file.0", "path": "hub/token"},
        {"key": "file.1", "path": "plain"},
    ]
    assert volume["defaultMode"] == mode
    assert spec["securityContext"].get("fsGroup") == group
