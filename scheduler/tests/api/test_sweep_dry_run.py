"""The dry run of POST /api/sweeps: what would become of the members."""

import pytest

from clusters.models import Quota
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status, Sweep
from deployments.tests.api.sweeps.sweeping import PATH, sweep_body
from deployments.tests.workloads import make
from mlops_platform.api.throttling.concurrency import slot
from scheduler import cycle
from scheduler.answers import budget, changes, sweeps
from scheduler.answers.shares import shares_of
from scheduler.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)
GPU = {"required_gpu": 1, "required_cpu": 1, "required_ram": 64}


@pytest.fixture
def cluster(org):
    return make_cluster(org, total_gpu=4)


def foreseen(client, cluster, priority="LOW", **given):
    body = sweep_body(cluster, template={**GPU, "priority": priority}, **given)
    answer = client.post(PATH, body | {"dry_run": True})
    assert answer.status_code == 200, answer.content
    assert not Sweep.objects.exists()
    return answer.json()


@pytest.mark.parametrize(
    ("limit", "starts", "waits", "code"),
    [
        (None, 4, 2, "INSUFFICIENT_CAPACITY"),
        (2, 2, 4, "SWEEP_LIMIT"),
        (6, 4, 2, "INSUFFICIENT_CAPACITY"),
    ],
)
def test_it_says_how_many_start_as_the_next_cycle_does(
    api, dev, cluster, limit, starts, waits, code
):
    seen = foreseen(api(dev), cluster, max_parallel=limit)
    assert (seen["starts_now"], seen["waits"], seen["unknown"]) == (starts, waits, None)
    assert (seen["evicts"], seen["reason"]["code"]) == ([], code)
    body = sweep_body(cluster, template=GPU, max_parallel=limit)
    assert api(dev).post(PATH, body).status_code == 201
    cycle.run(cluster.pk, Trigger.CHANGED)
    allocated = Deployment.objects.exclude(status=Status.QUEUED).count()
    assert (allocated, Deployment.objects.filter(status=Status.QUEUED).count()) == (starts, waits)


def test_all_that_start_leave_no_reason(api, dev, org):
    seen = foreseen(api(dev), make_cluster(org, total_gpu=6))
    assert (seen["starts_now"], seen["waits"], seen["reason"]) == (6, 0, None)


def test_it_names_what_would_be_evicted_for_them(api, dev, ada, cluster):
    lows = {make(cluster, ada, Status.RUNNING, name=f"low-{n}").name for n in range(4)}
    seen = foreseen(api(dev), cluster, "HIGH", max_parallel=2)
    assert (seen["starts_now"], seen["waits"]) == (2, 4)
    assert len(seen["evicts"]) == 2
    assert {each["name"] for each in seen["evicts"]} < lows
    assert {each["owner"] for each in seen["evicts"]} == {"ada"}


def test_members_of_a_paused_cluster_and_over_a_quota_wait(api, dev, cluster):
    Quota.objects.create(cluster=cluster, user=dev, max_gpu=3)
    cluster.has_quotas = True
    cluster.save()
    seen = foreseen(api(dev), cluster)
    assert (seen["starts_now"], seen["reason"]["code"]) == (3, "QUOTA_EXCEEDED")
    cluster.state = "PAUSED"
    cluster.save()
    seen = foreseen(api(dev), cluster)
    assert (seen["starts_now"], seen["reason"]["code"]) == (0, "CLUSTER_PAUSED")


def test_members_that_depend_on_another_wait_for_it(api, dev, cluster):
    needed = make(cluster, dev, name="needed")
    body = sweep_body(cluster, template={**GPU, "depends_on": [str(needed.pk)]})
    seen = api(dev).post(PATH, body | {"dry_run": True}).json()
    assert (seen["starts_now"], seen["waits"], seen["unknown"]) == (0, 6, None)
    assert seen["reason"]["code"] == "WAITING_FOR_DEPENDENCIES"


def test_what_takes_too_long_or_is_asked_too_often_is_said_to_be_unknown(
    api, dev, cluster, monkeypatch
):
    monkeypatch.setattr(budget, "CPU_S", -1)
    seen = foreseen(api(dev), cluster)
    assert (seen["starts_now"], seen["waits"], seen["total"]) == (None, None, 6)
    assert seen["unknown"] == sweeps.TOO_MUCH
    shares = [each._replace(waiting=0) for each in shares_of(cluster)]
    monkeypatch.setattr(sweeps, "shares_of", lambda _: shares)
    with slot(shares):
        seen = foreseen(api(dev), cluster)
    assert (seen["starts_now"], seen["unknown"]) == (None, changes.BUSY)
