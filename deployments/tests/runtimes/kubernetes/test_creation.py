"""Starts: each Pod once, whatever happens in between, and refusals of the API server."""

import base64
import json

import kmock
import pytest

from deployments.runtimes.base import (
    Code,
    Problem,
    RefusedError,
    Registry,
    ReplicaPlacement,
    RuntimeUnavailable,
)
from deployments.tests.runtimes.kubernetes.api_server import PODS, SECRETS, error
from deployments.tests.runtimes.kubernetes.cluster import (
    CLUSTER,
    DEPLOYMENT,
    KEY,
    NAMESPACE,
    OTHER_CLUSTER,
    POD,
    launch_spec,
    runtime_at,
)

GANG = [ReplicaPlacement(0, "node-1"), ReplicaPlacement(1, "node-1"), ReplicaPlacement(2, "node-2")]
SECRET = (NAMESPACE, f"mlops-{CLUSTER}-registries")


def names(api):
    return sorted(name for _, name in api.pods)


def creations(api):
    return [request for request in api.server if request.action == kmock.action.CREATE]


def test_each_replica_becomes_a_pod_after_a_dry_run(fake_kubernetes, kubernetes):
    kubernetes.start(launch_spec(placement=GANG))
    assert names(fake_kubernetes) == [f"mlops-{DEPLOYMENT}-1-{n}" for n in range(3)]
    dry, *created = creations(fake_kubernetes)
    assert dry.params["dryRun"] == "All"
    assert len(created) == 3
    assert not any("dryRun" in request.params for request in created)


def test_starting_again_changes_nothing(fake_kubernetes, kubernetes):
    kubernetes.start(launch_spec(placement=GANG))
    before = {name: pod["metadata"]["uid"] for name, pod in fake_kubernetes.pods.items()}
    kubernetes.start(launch_spec(placement=GANG))
    after = {name: pod["metadata"]["uid"] for name, pod in fake_kubernetes.pods.items()}
    assert after == before


def test_starting_again_after_a_half_way_death_creates_the_missing_pods(
    fake_kubernetes, kubernetes
):
    kubernetes.start(launch_spec(placement=GANG[1:2]))
    kubernetes.start(launch_spec(placement=GANG))
    assert len(fake_kubernetes.pods) == 3


def test_a_terminating_pod_is_left_alone_by_a_start(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    kubernetes.stop(KEY, 30)
    kubernetes.start(launch_spec())
    assert fake_kubernetes.pods[NAMESPACE, POD]["metadata"]["deletionTimestamp"]


def test_a_pod_of_others_with_the_same_name_is_not_taken_over(fake_kubernetes, kubernetes):
    fake_kubernetes.put({"metadata": {"namespace": NAMESPACE, "name": POD}, "status": {}})
    with pytest.raises(RefusedError, match="that is not ours is there") as caught:
        kubernetes.start(launch_spec())
    assert caught.value.problem.code is Code.REFUSED
    assert "labels" not in fake_kubernetes.pods[NAMESPACE, POD]["metadata"]


INVALID = 'Pod "x" is invalid: spec.containers[0].image: Required value'
BASELINE = 'pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged'
QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=8, limited: cpu=8'
WEBHOOK = 'admission webhook "w" denied the request: no'
OBJECTIONS = [
    (error(422, "Invalid", INVALID), Problem(Code.REFUSED, INVALID)),
    (error(400, "BadRequest", "unable to decode"), Problem(Code.REFUSED, "unable to decode")),
    (
        error(400, "", 'admission webhook "w" denied'),
        Problem(Code.REFUSED, 'admission webhook "w" denied'),
    ),
    (error(403, "Forbidden", BASELINE), Problem(Code.REFUSED, BASELINE)),
    (error(403, "Forbidden", QUOTA), Problem(Code.UNSCHEDULABLE, QUOTA)),
]


@pytest.mark.parametrize(("objection", "problem"), OBJECTIONS)
def test_a_refusal_comes_before_any_pod_is_created(fake_kubernetes, objection, problem):
    fake_kubernetes.admit = lambda pod: objection
    with pytest.raises(RefusedError) as caught:
        runtime_at(fake_kubernetes.url, registries=[Registry("r.test", "u", "p")]).start(
            launch_spec(placement=GANG)
        )
    assert caught.value.problem == problem
    assert not fake_kubernetes.pods
    assert not fake_kubernetes.secrets
    assert len(creations(fake_kubernetes)) == 1


def test_a_quota_that_is_exceeded_half_way_refuses_the_rest(fake_kubernetes, kubernetes):
    full = error(403, "Forbidden", QUOTA)
    fake_kubernetes.admit = lambda pod: full if len(fake_kubernetes.pods) == 2 else None
    with pytest.raises(RefusedError, match="exceeded quota"):
        kubernetes.start(launch_spec(placement=GANG))
    assert len(kubernetes.observe([DEPLOYMENT])) == 2


NOT_NOW = [
    error(403, "Forbidden", 'pods is forbidden: User "u" cannot create resource "pods"'),
    error(403, "Forbidden", "unable to create new content: namespace mlops is being terminated"),
    error(403, "Forbidden", "error looking up service account mlops/default: not found"),
    error(401, "Unauthorized", "Unauthorized"),
    error(404, "NotFound", 'namespaces "mlops" not found'),
    error(429, "TooManyRequests", "the server has asked for the client to try again later"),
    error(500, "InternalError", 'failed calling webhook "w"'),
    error(503, "ServiceUnavailable", "etcd is away"),
    error(504, "Timeout", "request did not complete within the allotted timeout"),
]


@pytest.mark.parametrize("answer", NOT_NOW)
def test_an_error_that_may_pass_is_no_refusal(fake_kubernetes, kubernetes, answer):
    fake_kubernetes.once("create", PODS, answer)
    with pytest.raises(RuntimeUnavailable, match=answer.message.split('"')[0]):
        kubernetes.start(launch_spec())


def test_a_conflict_over_the_quota_is_tried_again(fake_kubernetes, kubernetes):
    said = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'
    fake_kubernetes.once("create", PODS, *[error(409, "Conflict", said)] * 2)
    kubernetes.start(launch_spec())
    assert names(fake_kubernetes) == [POD]
    fake_kubernetes.once("create", PODS, *[error(409, "Conflict", said)] * 3)
    with pytest.raises(RuntimeUnavailable, match="at the same time"):
        kubernetes.start(launch_spec(attempt=2))


def test_a_pod_that_vanishes_during_a_start_is_created(fake_kubernetes, kubernetes):
    there = error(409, "AlreadyExists", f'pods "{POD}" already exists')
    fake_kubernetes.once("create", PODS, there, there)
    kubernetes.start(launch_spec())
    assert names(fake_kubernetes) == [POD]


def test_a_launch_spec_without_replicas_starts_nothing(fake_kubernetes, kubernetes):
    kubernetes.start(launch_spec(placement=[]))
    assert not list(fake_kubernetes.server)


def logins(api):
    content = base64.b64decode(api.secrets[SECRET]["data"][".dockerconfigjson"])
    return {host: login["password"] for host, login in json.loads(content)["auths"].items()}


def with_registries(api, *registries):
    return runtime_at(api.url, registries=[Registry(*each) for each in registries])


def test_registries_become_one_secret_that_pods_refer_to(fake_kubernetes):
    runtime = with_registries(fake_kubernetes, ("r.test", "u", "p"), ("s.test", "v", "q"))
    runtime.start(launch_spec())
    secret = fake_kubernetes.secrets[SECRET]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert logins(fake_kubernetes) == {"r.test": "p", "s.test": "q"}
    spec = fake_kubernetes.pods[NAMESPACE, POD]["spec"]
    assert spec["imagePullSecrets"] == [{"name": SECRET[1]}]


def test_the_secret_is_replaced_only_where_its_content_differs(fake_kubernetes):
    with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec())
    first = fake_kubernetes.secrets[SECRET]["metadata"]["resourceVersion"]
    with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec(attempt=2))
    assert fake_kubernetes.secrets[SECRET]["metadata"]["resourceVersion"] == first
    with_registries(fake_kubernetes, ("r.test", "u", "new")).start(launch_spec(attempt=3))
    assert logins(fake_kubernetes) == {"r.test": "new"}


def test_two_workers_that_write_the_secret_at_once_both_finish(fake_kubernetes):
    conflict = error(409, "AlreadyExists", "already exists")
    fake_kubernetes.once("create", SECRETS, conflict)
    with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec())
    fake_kubernetes.once("put", SECRETS, error(409, "Conflict", "has been modified"))
    with_registries(fake_kubernetes, ("r.test", "u", "new")).start(launch_spec(attempt=2))
    assert logins(fake_kubernetes) == {"r.test": "new"}
    fake_kubernetes.once("put", SECRETS, *[error(409, "Conflict", "has been modified")] * 3)
    with pytest.raises(RuntimeUnavailable, match="Secret"):
        with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec(attempt=3))
    assert names(fake_kubernetes) == [POD, f"mlops-{DEPLOYMENT}-2-0"]


def test_the_secret_is_deleted_once_there_are_no_registries(fake_kubernetes, kubernetes):
    with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec())
    with_registries(fake_kubernetes, ("r.test", "u", "p")).tidy()
    assert list(fake_kubernetes.secrets) == [SECRET]
    runtime_at(fake_kubernetes.url, cluster_id=OTHER_CLUSTER).tidy()
    assert list(fake_kubernetes.secrets) == [SECRET]
    for _ in range(2):
        kubernetes.tidy()
        assert fake_kubernetes.secrets == {}
    deletions = [each for each in fake_kubernetes.server if each.method.value == "DELETE"]
    assert len(deletions) == 2  # each asks but once in a while


def test_an_account_that_may_not_delete_the_secret_leaves_it(fake_kubernetes, kubernetes):
    with_registries(fake_kubernetes, ("r.test", "u", "p")).start(launch_spec())
    fake_kubernetes.once("delete", SECRETS, error(403, "Forbidden", "secrets is forbidden"))
    kubernetes.tidy()
    assert list(fake_kubernetes.secrets) == [SECRET]


def test_a_pull_is_left_to_the_kubelet(fake_kubernetes, kubernetes):
    kubernetes.pull("registry.test/none:1")
    assert not list(fake_kubernetes.server)
