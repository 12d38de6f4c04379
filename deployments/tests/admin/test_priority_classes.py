"""The operators' pages of priority classes."""

import pytest
from django.urls import reverse

from clusters.signals import cluster_changed
from clusters.tests.allocation import make_cluster
from deployments.models import PriorityClass, Status
from deployments.services import priority_classes
from deployments.tests.interleaving import after_statement
from deployments.tests.workloads import make
from mlops_platform.api.errors import Conflict

LIST = "/admin/deployments/priorityclass/"

USED = 'WHERE "deployments_deployment"."priority_class_id"'  # the query whether a class is used


def named(name):
    return PriorityClass.objects.get(name=name)


def page(priority_class, what="change"):
    return reverse(f"admin:deployments_priorityclass_{what}", args=[priority_class.pk])


def form(**fields):
    return {"name": "MID", "value": "500", "may_preempt": "on", "preemptible": "on", **fields}


def values():
    return dict(PriorityClass.objects.values_list("name", "value"))


@pytest.mark.parametrize("size", [1, 25])
def test_the_list_costs_the_same_for_few_and_many(operator, django_assert_num_queries, size):
    PriorityClass.objects.bulk_create(
        PriorityClass(name=f"CLASS_{number}", value=number + 1) for number in range(size)
    )
    # session, operator, count, rows
    with django_assert_num_queries(4):
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size + 2


def test_a_class_is_added_in_capitals(operator):
    assert operator.post(f"{LIST}add/", form(name="mid_day")).status_code == 302
    assert values() == {"LOW": 0, "MID_DAY": 500, "HIGH": 1000}


@pytest.mark.parametrize(
    "fault",
    [
        {"name": ""},
        {"name": "1ST"},
        {"name": "MID DAY"},
        {"name": "É"},
        {"name": "MID!"},
        {"name": "A" * 21},
        {"name": "high"},
        {"value": ""},
        {"value": "1000"},
        {"value": "99999999999"},
    ],
)
def test_an_invalid_class_is_a_form_error(operator, fault):
    answer = operator.post(f"{LIST}add/", form(**fault))
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert values() == {"LOW": 0, "HIGH": 1000}


def test_low_and_high_keep_their_names_and_stay(operator):
    for name in ("LOW", "HIGH"):
        standard = named(name)
        text = operator.get(page(standard)).content.decode()
        assert 'name="name"' not in text
        assert "deletelink" not in text
        operator.post(page(standard), form(name="OTHER", value=str(standard.value)))
        assert operator.post(page(standard, "delete"), {"post": "yes"}).status_code == 403
        with pytest.raises(Conflict):
            priority_classes.delete(standard)
    assert values() == {"LOW": 0, "HIGH": 1000}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOW", "1001", "Must stay below that of HIGH, 1000."),
        ("HIGH", "-1", "Must stay above that of LOW, 0."),
    ],
)
def test_low_and_high_do_not_cross(operator, name, value, sentence):
    answer = operator.post(page(named(name)), form(value=value))
    assert sentence in answer.content.decode()
    assert values() == {"LOW": 0, "HIGH": 1000}
    assert operator.post(page(named(name)), form(value="700")).status_code == 302
    assert values()[name] == 700


def test_a_class_keeps_its_name_once_it_is_used(operator, cluster, dev):
    mid = PriorityClass.objects.create(name="MID", value=500)
    assert operator.post(page(mid), form(name="MEDIUM")).status_code == 302
    make(cluster, dev, Status.STOPPED, priority="MEDIUM")
    answer = operator.post(page(mid), form(name="MID"))
    assert "Deployments have this class, so it keeps its name." in answer.content.decode()
    assert operator.post(page(mid), form(name="MEDIUM", value="600")).status_code == 302
    assert values()["MEDIUM"] == 600


def test_an_unused_class_is_deleted_and_a_used_one_stays(operator, cluster, dev):
    mid = PriorityClass.objects.create(name="MID", value=500)
    make(cluster, dev, Status.STOPPED, priority="MID")
    unused = PriorityClass.objects.create(name="UNUSED", value=600)

    text = operator.get(page(mid, "delete")).content.decode()
    assert "Deployments have the priority MID." in text
    assert operator.post(page(mid, "delete"), {"post": "yes"}).status_code == 200
    assert operator.post(page(unused, "delete"), {"post": "yes"}).status_code == 302
    assert values() == {"LOW": 0, "MID": 500, "HIGH": 1000}


def test_a_class_that_came_into_use_meanwhile_stays(operator, cluster, dev):
    mid = PriorityClass.objects.create(name="MID", value=500)
    with after_statement(USED, lambda: make(cluster, dev, priority="MID")):
        answer = operator.post(page(mid, "delete"), {"post": "yes"}, follow=True)
    assert [str(message) for message in answer.context["messages"]] == [
        "Deployments have the priority MID, so it stays."
    ]
    assert "MID" in values()


def test_a_changed_class_wakes_the_clusters_with_queued_deployments(operator, cluster, dev, org):
    idle = make_cluster(org, name="idle")
    make(cluster, dev)
    make(idle, dev, Status.RUNNING)
    changed = []

    def receive(cluster_id, **_):
        changed.append(cluster_id)

    cluster_changed.connect(receive)
    try:
        operator.post(page(named("LOW")), form(value="1"))
    finally:
        cluster_changed.disconnect(receive)
    assert changed == [cluster.pk]
    before = cluster.changed_at
    cluster.refresh_from_db()
    assert cluster.changed_at > before
