"""The dry run of POST /api/deployments/actions with a priority: what the change would evict."""

import pytest

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.api.throttling.concurrency import slot
from scheduler import cycle
from scheduler.answers import budget, changes
from scheduler.answers.shares import shares_of
from scheduler.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cluster(org):
    return make_cluster(org, total_gpu=2)


@pytest.fixture
def full(cluster, ada):
    return [make(cluster, ada, Status.RUNNING, name=name) for name in ("a", "b")]


def dry_run(client, *rows, priority="high", dry=True):
    body = {"action": "priority", "priority": priority, "dry_run": dry}
    answer = client.post(
        "/api/deployments/actions", body | {"ids": [str(each.pk) for each in rows]}
    )
    assert answer.status_code == 200, answer.content
    return answer.json()


def victims(answer):
    return {
        each["name"]: each["evicts"] and [victim["name"] for victim in each["evicts"]]
        for each in answer["first"]
    }


def test_it_says_whom_each_change_would_evict_as_the_next_cycle_does(api, dev, cluster, full):
    waiting = [make(cluster, dev, name=name) for name in ("q1", "q2", "q3")]
    make(cluster, dev, name="other")
    answer = dry_run(api(dev), *waiting)
    assert (answer["evicted"], answer["evicts_unknown"]) == (2, None)
    said = {
        each["name"]: {victim["deployment_id"] for victim in each["evicts"]}
        for each in answer["first"]
    }
    assert said["q3"] == set()
    [victim] = answer["first"][0]["evicts"]
    assert (victim["name"], victim["owner"]) in {("a", "ada"), ("b", "ada")}
    assert victim["lost_s"] > 0
    assert set(Deployment.objects.values_list("priority_class__name", flat=True)) == {"LOW"}
    done = dry_run(api(dev), *waiting, dry=False)
    assert not {"evicted", "evicts_unknown"} & done.keys()
    assert all("evicts" not in each for each in done["first"])
    cycle.run(cluster.pk, Trigger.CHANGED)
    for row in waiting:
        row.refresh_from_db()
        events = row.events.filter(type="STARTED")
        assert said[row.name] == {each for line in events for each in line.details["victims"]}


def test_what_would_evict_none_says_so(api, dev, cluster, full):
    needed = make(cluster, dev, name="needed")
    rows = [
        make(cluster, dev, name="waits for another", pending_dependencies=1),
        make(cluster, dev, name="too large", gpu=3),
        full[0],
    ]
    assert victims(dry_run(api(dev), *rows)) == {row.name: [] for row in rows}
    everything = [needed, *full]
    assert victims(dry_run(api(dev), *everything)) == {row.name: [] for row in everything}
    cluster.preemption = "off"
    cluster.save()
    assert victims(dry_run(api(dev), needed)) == {"needed": []}


def test_beyond_the_bound_it_is_null_with_a_reason(api, dev, org, cluster, full, monkeypatch):
    here = make(cluster, dev, name="here")
    there = make(make_cluster(org, name="east", total_gpu=1), dev, name="there")
    monkeypatch.setattr(changes, "MOST_CLUSTERS", 1)
    answer = dry_run(api(dev), here, there)
    assert victims(answer) in ({"here": ["a"], "there": None}, {"here": ["b"], "there": None})
    assert (answer["evicted"], answer["evicts_unknown"]) == (None, changes.TOO_MUCH)
    monkeypatch.setattr(budget, "CPU_S", -1)
    answer = dry_run(api(dev), here)
    assert (victims(answer), answer["evicts_unknown"]) == ({"here": None}, changes.TOO_MUCH)
    assert (answer["done"], answer["evicted"]) == (1, None)


def test_it_shares_the_turns_of_explanations(api, dev, cluster, full, monkeypatch):
    row = make(cluster, dev, name="q")
    shares = [each._replace(waiting=0) for each in shares_of(cluster)]
    monkeypatch.setattr(changes, "shares_of", lambda _: shares)
    with slot(shares):
        answer = dry_run(api(dev), row)
    assert (victims(answer), answer["evicts_unknown"]) == ({"q": None}, changes.BUSY)
    assert victims(dry_run(api(dev), row)) != {"q": None}
