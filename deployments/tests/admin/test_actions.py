"""What operators do with deployments: on a page of one, and with many of the list."""

from copy import copy

import pytest
from uuid_utils.compat import uuid7

from accounts.models import User
from deployments.models import Deployment, PriorityClass, Status
from deployments.tests.admin.pages import act, messages_of, page
from deployments.tests.workloads import allocated, make, timeline


def test_the_page_offers_only_actions_that_apply(operator, cluster, dev):
    waiting, ended = make(cluster, dev), make(cluster, dev, Status.COMPLETED)
    text = operator.get(page(waiting)).content.decode()
    assert 'value="stop"' in text
    assert 'value="priority_HIGH"' in text
    assert 'value="priority_LOW"' not in text
    text = operator.get(page(ended)).content.decode()
    assert 'value="stop"' not in text
    assert 'value="priority_HIGH"' not in text


def test_stop_asks_first_and_names_deployments_that_had_ended(operator, cluster, dev):
    running, waiting = make(cluster, dev, Status.RUNNING), make(cluster, dev)
    ended = make(cluster, dev, Status.FAILED, name="broken")
    question = act(operator, "stop", running, waiting, ended)
    text = question.content.decode()
    assert "Stop 3 deployments?" in text
    assert "1 running: what it has not saved is lost." in text
    assert "1 waiting: out of the queue." in text
    assert "1 ended before: left alone." in text
    running.refresh_from_db()
    assert running.status == Status.RUNNING

    answer = act(operator, "stop", running, waiting, ended, confirmed="yes")
    assert messages_of(answer) == [
        "Stopped 2 deployments.",
        "Left 1 deployment alone: broken had ended already",
    ]
    assert allocated(cluster) == (0, 0, 0)
    assert timeline(running) == [("STOPPED", "root")]
    ended.refresh_from_db()
    assert ended.status == Status.FAILED


def test_the_confirmation_keeps_the_selection_and_the_page(operator, cluster, dev):
    row = make(cluster, dev)
    text = act(operator, "stop", row, _from_page="1").content.decode()
    assert f'name="_selected_action" value="{row.pk}"' in text
    assert 'name="_from_page"' in text
    answer = act(operator, "stop", row, _from_page="1", confirmed="yes")
    assert answer.redirect_chain[-1][0] == page(row)


def test_a_priority_is_given_to_each_deployment_that_can_take_it(operator, cluster, dev):
    waiting, running = make(cluster, dev), make(cluster, dev, Status.RUNNING)
    high = make(cluster, dev, priority="HIGH")
    ended = make(cluster, dev, Status.COMPLETED, name="done")
    answer = act(operator, "priority_HIGH", waiting, running, high, ended)
    assert messages_of(answer) == [
        "Gave 2 deployments priority HIGH. 1 deployment had it already.",
        "Refused 1 deployment: done: It is COMPLETED: its priority no longer matters.",
    ]
    for row in (waiting, running):
        row.refresh_from_db()
        assert row.priority_class.name == "HIGH"
        assert row.scheduling_key.startswith("HIGH/")
        assert timeline(row) == [("CHANGED", "root")]
    answer = act(operator, "priority_LOW", waiting)
    assert messages_of(answer) == ["Gave 1 deployment priority LOW."]


def test_every_priority_class_can_be_given(operator, cluster, dev):
    PriorityClass.objects.create(name="URGENT", value=5000)
    row = make(cluster, dev)
    act(operator, "priority_URGENT", row)
    row.refresh_from_db()
    assert row.priority_class.name == "URGENT"


def test_a_change_of_too_many_priorities_at_once_is_refused_whole(operator, cluster, dev):
    row = make(cluster, dev)
    others = [copy(row) for _ in range(1000)]
    for each in others:
        each.pk = uuid7()
    Deployment.objects.bulk_create(others)
    answer = act(operator, "priority_HIGH", row, select_across="1")
    assert messages_of(answer) == ["Refused: choose 1000 deployments or fewer at once."]
    assert not Deployment.objects.filter(priority_class__name="HIGH").exists()


def test_staff_with_view_permission_alone_can_change_nothing(client, cluster, dev, vera):
    from django.contrib.auth.models import Permission

    row = make(cluster, dev)
    vera.is_staff = True
    vera.save()
    vera.user_permissions.add(Permission.objects.get(codename="view_deployment"))
    client.force_login(vera)
    assert 'value="stop"' not in client.get(page(row)).content.decode()
    for action in ("stop", "priority_HIGH"):
        act(client, action, row, confirmed="yes")
    row.refresh_from_db()
    assert (row.status, row.priority_class.name) == (Status.QUEUED, "LOW")


@pytest.mark.django_db(transaction=True)
def test_operators_submit_again_for_owners_and_are_named(operator, cluster, dev, ada):
    rows = [
        make(cluster, dev, Status.FAILED, name="lr-1", env={"SEED": "42"}),
        make(cluster, ada, Status.COMPLETED, name="lr-2", labels={"team": "vision"}),
    ]
    old = {row.pk for row in rows}
    answer = act(operator, "submit_again", *rows)
    assert "Submit 2 deployments again?" in answer.content.decode()
    assert Deployment.objects.count() == 2
    answer = act(operator, "submit_again", *rows, confirmed="yes")
    assert messages_of(answer) == ["Submitted 2 deployments again."]
    found = Deployment.objects.exclude(pk__in=old).order_by("name")
    assert [(row.name, row.owner, row.status, row.rerun_of_id) for row in found] == [
        ("lr-1", dev, Status.QUEUED, rows[0].pk),
        ("lr-2", ada, Status.QUEUED, rows[1].pk),
    ]
    assert [row.env_names for row in found] == [["SEED"], []]
    assert found[1].labels == {"team": "vision"}
    assert [timeline(row) for row in found] == [[("SUBMITTED", "root")]] * 2


@pytest.mark.django_db(transaction=True)
def test_nothing_is_submitted_again_that_its_owner_may_not_submit(
    operator, cluster, dev, ada, vera
):
    rows = [make(cluster, each, Status.FAILED, name=each.username) for each in (dev, ada, vera)]
    User.objects.filter(pk=dev.pk).update(is_active=False)
    [said, refused] = messages_of(act(operator, "submit_again", *rows, confirmed="yes"))
    assert said == "Submitted 1 deployment again."
    assert refused.startswith("Refused 2 deployments: ")
    assert "dev: dev is not active" in refused
    assert "vera: This needs the role DEVELOPER; yours is VIEWER." in refused
    assert Deployment.objects.filter(status=Status.QUEUED).get().owner == ada


def test_a_page_offers_to_submit_again(operator, cluster, dev):
    for status in (Status.RUNNING, Status.FAILED):
        answer = operator.get(page(make(cluster, dev, status)))
        assert ("submit_again", "Submit again") in answer.context["object_actions"]
