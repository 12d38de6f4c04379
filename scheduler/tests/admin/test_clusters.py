"""The operators' pages of clusters, as far as they tell of queues and cycles."""

from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster, State
from deployments import redis_queues
from deployments.models import Deployment, Status
from deployments.tests.interleaving import after_statement
from organizations.models import Organization
from organizations.tests.people import PASSWORD
from scheduler import wakeup
from scheduler.models import SchedulingCycle, Trigger
from scheduler.tests.conftest import Submit, messages, run_cycle

LIST = "/admin/clusters/cluster/"


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def page(cluster: Cluster, what: str = "change") -> str:
    return reverse(f"admin:clusters_cluster_{what}", args=[cluster.pk])


def act(operator: Client, action: str, *clusters: Cluster, **more: str):
    keys = [str(each.pk) for each in clusters]
    body = {"action": action, "index": "0", "_selected_action": keys, **more}
    return operator.post(LIST, body, follow=True)


def messages_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize("size", [1, 25])
def test_the_list_costs_the_same_for_few_and_many(
    operator: Client,
    org: Organization,
    submit: Submit,
    django_assert_num_queries: DjangoAssertNumQueries,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(size - 1):  # and the one that `submit` submits to
        other = Cluster.objects.create(
            organization=org,
            name=f"pool-{number}",
            total_cpu_milli=1000,
            total_ram_mib=1024,
            total_gpu=1,
        )
        submit(into=other)
    asked = []
    read = redis_queues.lengths_of

    def read_and_count(*of: Any) -> Any:
        asked.append(of)
        return read(*of)

    monkeypatch.setattr(redis_queues, "lengths_of", read_and_count)
    # session, operator, count, rows with what runs, classes
    with django_assert_num_queries(6):
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size
    assert len(asked) == 1


def test_list_and_page_tell_what_waits_and_runs(
    operator: Client, cluster: Cluster, submit: Submit
) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    submit("LOW", gpu=8)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    running = f"/admin/deployments/deployment/?cluster__id__exact={cluster.pk}&amp;status__in="
    for path in (LIST, page(cluster)):
        text = operator.get(path).content.decode()
        assert "HIGH 0" in text
        assert "LOW 2" in text
        assert f'<a href="{running}STARTING%2CRUNNING%2CSTOPPING">1</a>' in text
        assert "8 / 8 GPUs, 100 %" in text


def test_without_redis_the_pages_say_so(
    operator: Client, cluster: Cluster, submit: Submit, no_redis: None
) -> None:
    for path in (LIST, page(cluster)):
        answer = operator.get(path)
        assert answer.status_code == 200
        assert "Redis is away" in answer.content.decode()


def test_drain_asks_first_and_says_how_many_must_go(
    operator: Client, cluster: Cluster, submit: Submit
) -> None:
    rows = [submit(gpu=1), submit(gpu=1)]
    run_cycle(cluster)
    text = act(operator, "drain", cluster).content.decode()
    assert "Drain 1 cluster?" in text
    assert "pool: 2 deployments will go back into the queue" in text
    cluster.refresh_from_db()
    assert cluster.state == State.ACTIVE

    answer = act(operator, "drain", cluster, confirmed="yes")
    assert messages_of(answer) == ["Draining 1 cluster."]
    run_cycle(cluster)
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.reason_code) == (Status.QUEUED, "NODE_DRAINED")
    answer = act(operator, "drain", cluster)
    assert messages_of(answer) == ["Left as they were: pool is DRAINING already"]
    assert 'value="drain"' not in operator.get(page(cluster)).content.decode()


def test_schedule_now_asks_for_a_cycle_even_where_one_is_wanted(
    operator: Client, cluster: Cluster
) -> None:
    answer = act(operator, "schedule_now", cluster)
    assert messages_of(answer) == ["Asked for a cycle of 1 cluster; a worker runs it in a moment."]
    assert messages() == 1
    act(operator, "schedule_now", cluster)
    assert messages() == 2
    assert wakeup.clear_flag(cluster.pk) == Trigger.OPERATOR


def test_a_cluster_in_use_is_not_deleted(
    operator: Client, cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    text = operator.get(page(cluster, "delete")).content.decode()
    assert "1 deployment that waits or runs here: stop it first." in text
    assert operator.post(page(cluster, "delete"), {"post": "yes"}).status_code == 200
    assert Cluster.objects.exists()


def test_a_cluster_that_came_into_use_meanwhile_is_not_deleted(
    operator: Client, cluster: Cluster, submit: Submit
) -> None:
    with after_statement('INSERT INTO "django_admin_log"', partial(submit, gpu=1)):
        answer = operator.post(page(cluster, "delete"), {"post": "yes"}, follow=True)
    assert messages_of(answer) == ["Deployments wait or run here: stop them first."]
    assert answer.redirect_chain[-1][0] == page(cluster)
    assert Cluster.objects.exists()


def test_an_unused_cluster_goes_with_its_history(
    operator: Client, cluster: Cluster, submit: Submit
) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    act_on = {"action": "stop", "index": "0", "_selected_action": [row.pk], "confirmed": "yes"}
    operator.post("/admin/deployments/deployment/", act_on)
    text = operator.get(page(cluster, "delete")).content.decode()
    assert "Deployments: 1" in text
    answer = operator.post(page(cluster, "delete"), {"post": "yes"}, follow=True)
    assert messages_of(answer) == ["The cluster “pool” was deleted successfully."]
    for model in (Cluster, Deployment, SchedulingCycle):
        assert not model.objects.exists()


def test_several_are_never_deleted_at_once(operator: Client, cluster: Cluster) -> None:
    act(operator, "delete_selected", cluster, post="yes")
    assert Cluster.objects.exists()
