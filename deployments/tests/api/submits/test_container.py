"""What a submit sets of its containers: /dev/shm, user, working directory, ulimits, pulls, what
comes before their end, and the file by which they report checkpoints."""

from typing import Any

import pytest

from clusters.models import Cluster, Runtime
from deployments.models import Deployment
from deployments.reconciler.starts.launch_spec import LaunchSpecs
from deployments.runtimes.base import Container
from deployments.tests.workloads import body

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
NONE: dict[str, Any] = {
    "shm_mib": None,
    "ephemeral_mib": None,
    "user": "",
    "workdir": "",
    "ulimits": {},
    "pull_policy": "if_missing",
    "stop_signal": None,
    "pre_stop": [],
    "checkpoint_file": None,
}
ALL = {
    "shm_mib": 1,
    "ephemeral_mib": 2048,
    "user": "1000:100",
    "workdir": "/home/of ada",
    "ulimits": {"memlock": "unlimited", "nofile": 65536, "stack": 8388608},
    "pull_policy": "always",
    "stop_signal": "SIGUSR1",
    "pre_stop": ["sh", "-c", "touch /out/$(hostname)"],
    "checkpoint_file": "/out/model.pt",
}


def shown(answer):
    return {name: answer.json()[name] for name in NONE}


def spec_of(cluster):
    row = Deployment.objects.get()
    return LaunchSpecs(cluster, [row]).of(row, [(0, cluster.nodes.model(name="a"))])


def test_all_of_them_are_kept_and_shown_and_reach_the_runtime(api, dev, cluster):
    answer = api(dev).post(PATH, body(cluster, **ALL))
    assert answer.status_code == 201, answer.json()
    assert shown(answer) == ALL
    assert shown(api(dev).get(f"{PATH}/{answer.json()['id']}")) == ALL
    assert spec_of(cluster).container == Container(
        shm_mib=1,
        ephemeral_mib=2048,
        user="1000:100",
        workdir="/home/of ada",
        ulimits={"memlock": -1, "nofile": 65536, "stack": 8388608},
        pull_policy="always",
        stop_signal="SIGUSR1",
        pre_stop=["sh", "-c", "touch /out/$(hostname)"],
        checkpoint_file="/out/model.pt",
    )


@pytest.mark.parametrize("given", [{}, NONE])
def test_without_them_the_image_and_half_of_the_ram_count(api, dev, cluster, given):
    answer = api(dev).post(PATH, body(cluster, required_ram=4096, **given))
    assert shown(answer) == NONE
    assert Deployment.objects.get().container == {}
    assert spec_of(cluster).shm_mib == 2048


def test_leaving_them_out_and_giving_their_defaults_is_the_same_submit(api, dev, cluster):
    first = api(dev).post(PATH, body(cluster), HTTP_IDEMPOTENCY_KEY="k")
    again = api(dev).post(PATH, body(cluster, **NONE), HTTP_IDEMPOTENCY_KEY="k")
    assert again.json()["id"] == first.json()["id"]
    other = api(dev).post(PATH, body(cluster, user="7"), HTTP_IDEMPOTENCY_KEY="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_bulk_takes_them_too_and_names_the_item_at_fault(api, dev, cluster):
    items = [
        {"cluster_id": str(cluster.pk), **body(cluster)},
        {"cluster_id": str(cluster.pk), **body(cluster), "user": "root"},
    ]
    answer = api(dev).post(f"{PATH}/bulk", {"deployments": items})
    assert answer.status_code == 400
    assert "user" in str(answer.json()["fields"]["deployments"])
    assert not Deployment.objects.exists()
    items[1]["user"] = "0"
    assert api(dev).post(f"{PATH}/bulk", {"deployments": items}).status_code == 201


def test_lists_leave_them_out(api, dev, cluster):
    api(dev).post(PATH, body(cluster, **ALL))
    [listed] = api(dev).get(PATH).json()
    assert not listed.keys() & {*NONE, "container"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"shm_mib": 0}, "shm_mib"),
        ({"shm_mib": -1}, "shm_mib"),
        ({"shm_mib": "64"}, "shm_mib"),
        ({"shm_mib": 64.0}, "shm_mib"),
        ({"shm_mib": 4097, "required_ram": 4096}, "shm_mib"),
        ({"ephemeral_mib": 0}, "ephemeral_mib"),
        ({"ephemeral_mib": "64"}, "ephemeral_mib"),
        ({"ephemeral_mib": 2**31}, "ephemeral_mib"),
        ({"user": "ada"}, "user"),
        ({"user": 1000}, "user"),
        ({"user": "-1"}, "user"),
        ({"user": "1000:"}, "user"),
        ({"user": "1:2:3"}, "user"),
        ({"user": "2147483648"}, "user"),
        ({"user": "1:2147483648"}, "user"),
        ({"user": "\u0661"}, "user"),
        ({"workdir": "work"}, "workdir"),
        ({"workdir": "/a/../b"}, "workdir"),
        ({"workdir": "/a\nb"}, "workdir"),
        ({"workdir": "/" + "a" * 1024}, "workdir"),
        ({"ulimits": {"cpu": 1}}, "ulimits"),
        ({"ulimits": {"nofile": "unlimited"}}, "ulimits"),
        ({"ulimits": {"nofile": 0}}, "ulimits"),
        ({"ulimits": {"memlock": -1}}, "ulimits"),
        ({"ulimits": {"memlock": True}}, "ulimits"),
        ({"ulimits": {"memlock": [1]}}, "ulimits"),
        ({"ulimits": [1]}, "ulimits"),
        ({"pull_policy": "never"}, "pull_policy"),
        ({"pull_policy": ["always"]}, "pull_policy"),
        ({"stop_signal": "SIGKILL"}, "stop_signal"),
        ({"stop_signal": "USR1@60"}, "stop_signal"),
        ({"stop_signal": 10}, "stop_signal"),
        ({"stop_signal": "SIGUSR1", "grace_s": 0}, "stop_signal"),
        ({"pre_stop": "sync"}, "pre_stop"),
        ({"pre_stop": [""]}, "pre_stop"),
        ({"pre_stop": ["sh", "-c", "x" * 4096]}, "pre_stop"),
        ({"pre_stop": ["sync"], "grace_s": 0}, "pre_stop"),
        ({"checkpoint_file": "out/model.pt"}, "checkpoint_file"),
        ({"checkpoint_file": "/out/../model.pt"}, "checkpoint_file"),
        ({"checkpoint_file": "/dev/shm/model.pt"}, "checkpoint_file"),
        ({"checkpoint_file": "/proc/1/status"}, "checkpoint_file"),
    ],
)
def test_what_makes_no_sense_is_named_and_nothing_is_submitted(api, dev, cluster, given, field):
    answer = api(dev).post(PATH, body(cluster, **given))
    assert answer.status_code == 400
    assert [*answer.json()["fields"]] == [field]
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("name", ["ulimits", "stop_signal", "checkpoint_file"])
def test_kubernetes_takes_no_ulimits_signal_or_checkpoint_file(api, dev, cluster, name):
    Cluster.objects.filter(pk=cluster.pk).update(runtime=Runtime.KUBERNETES)
    answer = api(dev).post(PATH, body(cluster, **{name: ALL[name]}))
    assert answer.status_code == 400
    assert "Kubernetes" in answer.json()["fields"][name][0]
    assert not Deployment.objects.exists()


def test_kubernetes_takes_a_pre_stop(api, dev, cluster):
    Cluster.objects.filter(pk=cluster.pk).update(runtime=Runtime.KUBERNETES)
    answer = api(dev).post(PATH, body(cluster, pre_stop=["sync"]))
    assert answer.status_code == 201, answer.json()


def test_less_ram_than_dev_shm_is_all_of_it(api, dev, cluster):
    answer = api(dev).post(PATH, body(cluster, required_ram=4096, shm_mib=4096))
    changed = api(dev).patch(f"{PATH}/{answer.json()['id']}", {"required_ram": 1024})
    assert changed.status_code == 200
    assert spec_of(cluster).shm_mib == 1024


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("docker://registry.test/team/train:1", "registry.test/team/train:1"),
        ("docker://busybox", "busybox"),
        ("https://registry.test:5000/train", "registry.test:5000/train"),
        ("oci://registry.test/train@sha256:" + "a" * 64, "registry.test/train@sha256:" + "a" * 64),
        ("nvcr.io#nvidia/pytorch:24.01-py3", "nvcr.io/nvidia/pytorch:24.01-py3"),
        ("docker://nvcr.io#nvidia/pytorch:24.01-py3", "nvcr.io/nvidia/pytorch:24.01-py3"),
    ],
)
def test_an_image_in_another_programs_form_is_refused_with_the_right_form(
    api, dev, cluster, given, right
):
    answer = api(dev).post(PATH, body(cluster, image=given))
    assert answer.status_code == 400
    assert f"Write {right}." in answer.json()["fields"]["image"][0]
    assert not Deployment.objects.exists()
    assert api(dev).post(PATH, body(cluster, image=right)).status_code == 201


@pytest.mark.parametrize("given", ["docker://", "#", "docker://case/UPPER", "a#b#c", "a b"])
def test_what_has_no_right_form_is_refused_without_one(api, dev, cluster, given):
    answer = api(dev).post(PATH, body(cluster, image=given))
    assert answer.json()["fields"]["image"] == ["Not a container image reference."]
    assert not Deployment.objects.exists()
