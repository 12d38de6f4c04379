"""The operators' pages of the ledger."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from organizations.tests.people import PASSWORD
from scheduler.admin import plans
from scheduler.models import SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

LIST = "/admin/scheduler/schedulingcycle/"


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.fixture
def preemption(cluster: Cluster, submit: Submit) -> SchedulingCycle:
    """The cycle in which `urgent` took the place of `humble`, while `patient` goes on waiting."""
    submit("LOW", gpu=8, name="humble")
    run_cycle(cluster)
    submit("HIGH", gpu=8, name="urgent")
    submit("LOW", gpu=2, name="patient")
    run_cycle(cluster)
    return SchedulingCycle.objects.latest("pk")


def page(cycle: SchedulingCycle) -> str:
    return reverse("admin:scheduler_schedulingcycle_change", args=[cycle.pk])


def download(cycle: SchedulingCycle, part: str) -> str:
    return f"{LIST}{cycle.pk}/{part}.json"


@pytest.mark.parametrize("size", [1, 25])
def test_the_list_costs_the_same_for_few_and_many(
    operator: Client,
    preemption: SchedulingCycle,
    django_assert_num_queries: DjangoAssertNumQueries,
    size: int,
) -> None:
    SchedulingCycle.objects.exclude(pk=preemption.pk).delete()
    for _ in range(size - 1):
        preemption.pk = SchedulingCycle._meta.pk.get_default()
        preemption._state.adding = True
        preemption.save()
    # session, operator, count, rows
    with django_assert_num_queries(4) as asked:
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size
    assert not any('"snapshot"' in query["sql"] for query in asked.captured_queries)
    assert not any('"plan"' in query["sql"] for query in asked.captured_queries)


def test_the_list_is_narrowed_to_what_was_evicted(
    operator: Client, preemption: SchedulingCycle
) -> None:
    def found(**parameters: str) -> list[object]:
        return [row.pk for row in operator.get(LIST, parameters).context["cl"].result_list]

    assert len(found()) == 2
    assert found(evicted="some") == [preemption.pk]
    assert len(found(evicted="none")) == 1
    assert (
        len(found(cluster__id__exact=str(preemption.cluster_id), trigger__exact="SUBMITTED")) == 2
    )
    assert found(trigger__exact="OPERATOR") == []
    assert len(found(within="hour")) == 2


def test_the_page_names_starts_victims_and_waits(
    operator: Client,
    preemption: SchedulingCycle,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    operator.get(page(preemption))  # looks the content type up, once in a process
    # session, operator, the cycle with its cluster, the names
    with django_assert_num_queries(4) as asked:
        text = operator.get(page(preemption)).content.decode()
    assert not any('"snapshot"' in query["sql"] for query in asked.captured_queries)
    for name in ("humble", "urgent"):
        key = Deployment.objects.get(name=name).pk
        assert f'<a href="/admin/deployments/deployment/{key}/change/">{name}</a>' in text
    assert "of dev (HIGH), losing 0 s of work." in text
    assert "LOW, 1 core, 1 GiB, 2 GPUs" in text
    assert "INSUFFICIENT_CAPACITY" in text


def test_deployments_that_are_gone_keep_their_ids(
    operator: Client, preemption: SchedulingCycle
) -> None:
    key = Deployment.objects.get(name="humble").pk
    Deployment.objects.filter(pk=key).delete()
    text = operator.get(page(preemption)).content.decode()
    assert "humble" not in text
    assert f'<span class="mono">{key}</span>' in text


def test_a_large_plan_shows_its_beginning(
    operator: Client, cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MOST_ROWS", 1)
    for _ in range(3):
        submit("LOW", gpu=2)
    run_cycle(cluster)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    text = operator.get(page(SchedulingCycle.objects.latest("pk"))).content.decode()
    assert "2 more in the plan's JSON." in text
    assert text.count("PREEMPTED") == 1


def test_snapshot_and_plan_are_downloaded_with_their_fields_named(
    operator: Client, preemption: SchedulingCycle
) -> None:
    text = operator.get(page(preemption)).content.decode()
    for part in ("snapshot", "plan"):
        assert f'href="{download(preemption, part)}"' in text
    answer = operator.get(download(preemption, "snapshot"))
    assert answer["Content-Type"] == "application/json"
    assert f"{preemption.pk}-snapshot.json" in answer["Content-Disposition"]
    snapshot = json.loads(answer.content)
    assert snapshot["cluster_id"] == str(preemption.cluster_id)
    assert snapshot["total"]["gpu"] == 8
    plan = json.loads(operator.get(download(preemption, "plan")).content)
    assert [each["reason"]["code"] for each in plan["evictions"]] == ["PREEMPTED"]


def test_there_is_nothing_else_to_download(operator: Client, preemption: SchedulingCycle) -> None:
    assert operator.get(download(preemption, "cluster")).status_code == 404
    missing = SchedulingCycle(pk=preemption.cluster_id)
    assert operator.get(download(missing, "plan")).status_code == 404


def test_bytes_of_another_version_are_no_fault(
    operator: Client, preemption: SchedulingCycle
) -> None:
    SchedulingCycle.objects.filter(pk=preemption.pk).update(plan=b"what", snapshot=b"ever")
    assert "This version cannot read" in operator.get(page(preemption)).content.decode()
    assert operator.get(download(preemption, "plan")).status_code == 404


def test_the_ledger_is_only_read(operator: Client, preemption: SchedulingCycle) -> None:
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(page(preemption), {"evicted_count": "0"}).status_code == 403
    assert operator.post(f"{LIST}{preemption.pk}/delete/", {"post": "yes"}).status_code == 403
    keys = [str(preemption.pk)]
    body = {"action": "delete_selected", "index": "0", "_selected_action": keys, "post": "yes"}
    operator.post(LIST, body)
    assert SchedulingCycle.objects.get(pk=preemption.pk).evicted_count == 1


def test_strangers_and_staff_without_the_right_download_nothing(
    client: Client, preemption: SchedulingCycle, vera: User
) -> None:
    client.force_login(vera)
    assert client.get(download(preemption, "snapshot")).status_code == 302
    vera.is_staff = True
    vera.save()
    assert client.get(download(preemption, "snapshot")).status_code == 403
