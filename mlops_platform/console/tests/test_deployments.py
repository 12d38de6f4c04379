"""The list of deployments: sweeps as rows, pages, and actions on many."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status, Sweep
from deployments.services.submit import create_deployment
from deployments.tests.workloads import make
from mlops_platform.console.pages import deployments as page
from organizations.models import Organization

pytestmark = pytest.mark.django_db
LIST, LOOK, DO = "/console/deployments/", "/console/deployments/look/", "/console/deployments/act/"


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org, total_gpu=4)


@pytest.fixture
def browser(dev: User) -> Client:
    client = Client()
    client.force_login(dev, "django.contrib.auth.backends.ModelBackend")
    return client


def member(cluster: Cluster, owner: User, sweep: Sweep, index: int, status: Status) -> Deployment:
    return make(cluster, owner, status, sweep=sweep, sweep_index=index, name=f"lr-{index}")


def fields_of(answer: Any) -> dict[str, Any]:
    """Of the button of a preview."""
    form = answer.content.decode().rpartition('<form method="post"')[2]
    found: dict[str, Any] = {"ids": []}
    for name, value in re.findall(r'type="hidden" name="([a-z]+)" value="([^"]*)"', form):
        if name == "ids":
            found["ids"].append(value)
        else:
            found[name] = value.replace("&amp;", "&")
    return found


def test_a_sweep_is_one_row_with_what_has_become_of_its_members(
    browser: Client, cluster: Cluster, dev: User
) -> None:
    alone = make(cluster, dev, name="alone")
    sweep = Sweep.objects.create(
        cluster=cluster, owner=dev, name="lr", size=4, parameters=[{"lr": n} for n in range(4)]
    )
    ended = [Status.COMPLETED, Status.COMPLETED, Status.FAILED]
    members = [member(cluster, dev, sweep, n, status) for n, status in enumerate(ended)]
    members.append(member(cluster, dev, sweep, 3, Status.QUEUED))
    text = browser.get(LIST).content.decode()
    assert "2 completed, 1 failed, 1 queued" in text
    assert text.index(f"?sweep={sweep.pk}") < text.index(str(alone.pk))  # the newest first
    assert not any(str(each.pk) in text for each in members)
    inside = browser.get(LIST, {"sweep": str(sweep.pk)}).content.decode()
    assert all(str(each.pk) in inside for each in members)
    narrowed = browser.get(LIST, {"status": "FAILED"}).content.decode()
    assert str(members[2].pk) in narrowed
    assert str(members[0].pk) not in narrowed


@pytest.mark.parametrize("query", [{}, {"owner": "me"}, {"name": "a*"}])
def test_the_pages_of_a_list_have_each_row_once(
    browser: Client,
    cluster: Cluster,
    dev: User,
    query: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "PER_PAGE", 3)
    ids = [str(make(cluster, dev, name=f"a{n}").pk) for n in range(7)]
    make(cluster, dev, name="a7")
    sweep = Sweep.objects.create(cluster=cluster, owner=dev, name="b", size=1, parameters=[{}])
    seen, address, params = list[str](), LIST, query
    while address:
        text = browser.get(address, params).content.decode()
        seen += re.findall(r'value="([0-9a-f-]{36})" form="many"', text)
        seen += re.findall(r'<a href="\?sweep=([0-9a-f-]{36})">b<', text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address, params = found[1].replace("&amp;", "&") if found else "", {}
        address = LIST + address if address.startswith("?") else address
    assert len(seen) == len(set(seen))
    expected = {*ids, *([] if "name" in query else [str(sweep.pk)])}
    assert set(seen) >= expected
    assert len(seen) == len(expected) + 1


def test_what_is_ticked_is_stopped_after_a_look(
    browser: Client, cluster: Cluster, dev: User
) -> None:
    rows = [make(cluster, dev, name=f"a{n}") for n in range(3)]
    ids = [str(each.pk) for each in rows[:2]]
    looked = browser.post(LOOK, {"action": "stop", "scope": "ticked", "ids": ids})
    assert "Stop 2 of 2" in looked.content.decode()
    assert Deployment.objects.filter(status=Status.STOPPED).count() == 0
    done = browser.post(DO, fields_of(looked), follow=True)
    assert "2 stopped." in done.content.decode()
    assert set(Deployment.objects.filter(status=Status.STOPPED)) == set(rows[:2])


def test_all_that_match_get_another_priority_and_the_look_names_what_is_evicted(
    browser: Client, cluster: Cluster, dev: User
) -> None:
    make(cluster, dev, Status.RUNNING, name="nightly", gpu=4)
    chosen = [make(cluster, dev, name=f"a{n}", gpu=2) for n in range(2)]
    other = make(cluster, dev, name="b")
    form = {"action": "priority", "priority": "HIGH", "scope": "all"}
    looked = browser.post(LOOK, {**form, "query": "name=a%2A&status=QUEUED&status=RUNNING"})
    text = looked.content.decode()
    assert "Change the priority of 2 of 2: HIGH" in text
    assert "nightly of dev" in text
    done = browser.post(DO, fields_of(looked))
    assert done["Location"] == f"{LIST}?name=a%2A&status=QUEUED&status=RUNNING"
    assert {
        row.priority_class.name for row in Deployment.objects.filter(pk__in=[c.pk for c in chosen])
    } == {"HIGH"}
    other.refresh_from_db()
    assert other.priority_class.name == "LOW"


def test_what_concerns_others_by_now_is_looked_at_again(
    browser: Client, cluster: Cluster, dev: User
) -> None:
    make(cluster, dev, name="a0")
    looked = browser.post(LOOK, {"action": "stop", "scope": "all", "query": "name=a%2A"})
    make(cluster, dev, name="a1")
    again = browser.post(DO, fields_of(looked))
    assert "nothing was done" in again.content.decode()
    assert Deployment.objects.filter(status=Status.STOPPED).count() == 0
    assert browser.post(DO, fields_of(again)).status_code == 302
    assert Deployment.objects.filter(status=Status.STOPPED).count() == 2


def test_a_button_that_is_pressed_twice_submits_once(
    browser: Client, cluster: Cluster, dev: User
) -> None:
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0, "name": "a"}
    row = create_deployment(dev, cluster.pk, spec).deployment
    looked = browser.post(LOOK, {"action": "rerun", "scope": "ticked", "ids": [str(row.pk)]})
    fields = fields_of(looked)
    for _ in range(2):
        assert browser.post(DO, fields).status_code == 302
    assert Deployment.objects.filter(rerun_of_id=row.pk).count() == 1


def test_a_viewer_changes_nothing_and_sees_why(cluster: Cluster, dev: User, vera: User) -> None:
    row, client = make(cluster, dev, name="a"), Client()
    client.force_login(vera, "django.contrib.auth.backends.ModelBackend")
    form = {"action": "stop", "scope": "ticked", "ids": [str(row.pk)]}
    looked = client.post(LOOK, form)
    assert "This needs the role DEVELOPER" in looked.content.decode()
    client.post(DO, {**form, "expected": "1"})
    client.post(DO, {**form, "expected": "0"})
    row.refresh_from_db()
    assert row.status == Status.QUEUED


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"action": "stop", "scope": "ticked"}, "ids"),
        ({"action": "stop", "scope": "all", "query": ""}, "filter"),
        ({"action": "melt", "scope": "all", "query": "name=a"}, "action"),
        (
            {"action": "priority", "scope": "all", "query": "name=a", "priority": "URGENT"},
            "priority",
        ),
    ],
)
def test_a_faulty_action_is_a_page_that_names_the_fault(
    browser: Client, cluster: Cluster, dev: User, form: dict[str, str], said: str
) -> None:
    make(cluster, dev, name="a")
    for path in (LOOK, DO):
        answer = browser.post(path, form)
        assert answer.status_code == 400
        assert f"<dt>{said}</dt>" in answer.content.decode()
