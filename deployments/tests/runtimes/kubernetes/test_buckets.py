"""Buckets that a Pod fetches: by an init container, which alone has the credentials."""

import json
from base64 import b64decode
from dataclasses import replace

import pytest

from deployments.runtimes.base import Code, Container, Phase, Problem, Secrets
from deployments.runtimes.fetches import DELAYED, FAILED, Bucket, Fetch
from deployments.runtimes.kubernetes.pods import has_ended
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.kubernetes.cluster import CLUSTER, POD, launch_spec, runtime_at
from deployments.tests.runtimes.kubernetes.test_pods import pod as a_pod
from deployments.tests.runtimes.kubernetes.test_pods import read, terminated, waiting

KEY = "quite-unlikely-secret-key"
IMAGE = "registry.test/mlops-platform:1"
SETS = Bucket("sets", "https://s3.test", "sets", "a", "", 2048, True, "an-id", KEY)
FETCH = Fetch(IMAGE, {"/data": SETS, "/more": replace(SETS, prefix="b")}, within_s=60)
MOUNTS = [Mount("sets", "S3", path, read_only=True) for path in FETCH.buckets]
IS_WAITING = waiting("PodInitializing")


def fetching(**given):
    secrets = Secrets(document=FETCH.document())
    return launch_spec(mounts=MOUNTS, fetch=FETCH, secrets=secrets, **given)


def test_an_init_container_fills_the_folders_that_the_program_reads():
    spec = fetching(gpu=1, container=Container(ephemeral_mib=4096))
    pod = pod_of(spec, spec.placement[0], CLUSTER)["spec"]
    [init], [main] = pod["initContainers"], pod["containers"]
    assert (init["image"], init["command"]) == (IMAGE, ["python", "-m", "deployments.fetch"])
    folders = {each["name"]: each.get("emptyDir") for each in pod["volumes"]}
    assert folders["fetched-0"] == folders["fetched-1"] == {"sizeLimit": "2048Mi"}
    assert [each["mountPath"] for each in init["volumeMounts"]] == [
        *("/run/fetch", "/fetched/0", "/fetched/1")
    ]
    read = [each for each in main["volumeMounts"] if each["name"].startswith("fetched")]
    assert read == [
        {"name": "fetched-0", "mountPath": "/data", "readOnly": True},
        {"name": "fetched-1", "mountPath": "/more", "readOnly": True},
    ]
    assert init["resources"] == {
        "requests": {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "4096Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "4096Mi"},
    }
    assert init["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_small_pod_asks_for_no_more_and_its_fetch_may_take_more():
    spec = fetching(cpu_milli=50, ram_mib=32)
    [init] = pod_of(spec, spec.placement[0], CLUSTER)["spec"]["initContainers"]
    assert init["resources"] == {
        "requests": {"cpu": "50m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    }


def test_only_the_init_container_has_the_credentials(fake_kubernetes):
    runtime_at(fake_kubernetes.url).start(fetching())
    pod, secret = fake_kubernetes.pods["mlops", POD], fake_kubernetes.secrets["mlops", POD]
    assert json.loads(b64decode(secret["data"]["fetch"]))["buckets"][0]["secret_access_key"] == KEY
    assert KEY not in json.dumps(pod)
    with_secret = [each["name"] for each in pod["spec"]["volumes"] if "secret" in each]
    assert with_secret == ["fetch"]
    [main], [init] = pod["spec"]["containers"], pod["spec"]["initContainers"]
    assert "fetch" not in [each["name"] for each in main["volumeMounts"]]
    assert "fetch" in [each["name"] for each in init["volumeMounts"]]
    assert not any("valueFrom" in each for each in main["env"])


@pytest.mark.parametrize(
    ("phase", "state", "problem", "seen"),
    [
        ("Pending", {"running": {}}, Problem(Code.FETCHING_DATA), Phase.PENDING),
        ("Pending", {"terminated": {"exitCode": 0}}, None, Phase.PENDING),
        (
            *("Pending", waiting("ErrImagePull", "manifest unknown")),
            *(Problem(Code.IMAGE_PULL_FAILED, "manifest unknown"), Phase.PENDING),
        ),
        (
            *("Failed", terminated(FAILED, "Error", "s3://sets/a/: AccessDenied")),
            *(Problem(Code.FETCH_FAILED, "s3://sets/a/: AccessDenied"), Phase.ENDED),
        ),
        (
            *("Failed", terminated(DELAYED, "Error", "It took more than 60 s.")),
            *(Problem(Code.FETCH_DELAYED, "It took more than 60 s."), Phase.ENDED),
        ),
        (
            *("Failed", terminated(137, "OOMKilled")),
            *(
                Problem(Code.FETCH_FAILED, "It has ended with exit code 137 OOMKilled"),
                Phase.ENDED,
            ),
        ),
    ],
)
def test_its_state_is_that_of_the_replica(phase, state, problem, seen):
    init = [{"name": "fetch", "state": state}]
    pod = a_pod(phase, IS_WAITING, initContainerStatuses=init)
    status = read(pod)
    assert (status.phase, status.problem, status.begun) == (seen, problem, True)
    assert has_ended(pod) is (seen == Phase.ENDED)


def test_an_eviction_meanwhile_is_no_fault_of_the_fetch():
    init = [{"name": "fetch", "state": terminated(137, "Error")}]
    pod = a_pod("Failed", IS_WAITING, initContainerStatuses=init, reason="Evicted")
    problem = read(pod).problem
    assert problem is not None
    assert problem.code == Code.DISRUPTED
