"""A node on which starts fail one after another is cordoned, says why, and is tried again."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import User
from clusters.models import Node
from clusters.nodes.failed_starts import FailedStarts
from clusters.services import nodes
from deployments.models import Deployment, DeploymentEvent
from deployments.reconciler.loop import reconcile
from deployments.runtimes.base import Code, Problem, RefusedError
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, reason
from mlops_platform.database.clock import database_now

pytestmark = pytest.mark.django_db
NO_DRIVER = "could not select device driver"


@pytest.fixture(autouse=True)
def few_and_short(settings: Settings) -> None:
    settings.NODE_FAILED_STARTS, settings.NODE_RETRY_FIRST_S = 3, 60


def refuse(code: Code = Code.REFUSED) -> Any:
    def start(own: Any, *arguments: Any) -> None:
        raise RefusedError(Problem(code, NO_DRIVER))

    return start


def fresh(node: Node) -> Node:
    node.refresh_from_db()
    return node


def record_of(node: Node) -> FailedStarts:
    return FailedStarts.read(fresh(node).failed_starts)


def end_pause(node: Node) -> None:
    column = fresh(node).failed_starts or {}
    past = database_now() - timedelta(seconds=1)
    Node.objects.filter(pk=node.pk).update(
        failed_starts={**column, "next_try_at": past.isoformat()}
    )


def fail_one_after_another(testbed: Testbed, images: str) -> list[Deployment]:
    rows = []
    for image in images:
        rows.append(testbed.submit(f"image-{image}"))
        testbed.settle()
    return rows


@pytest.fixture
def closed(testbed: Testbed, a: Node) -> Node:
    """A node that is cordoned, whose engine goes on to refuse what it is given."""
    testbed.settle()
    testbed.intercept(a, "start", refuse())
    fail_one_after_another(testbed, "xyz")
    assert fresh(a).effective_state == "CORDONED"
    return a


def notices(row: Deployment, code: str) -> list[Any]:
    found = DeploymentEvent.objects.filter(deployment=row, details__code=code).order_by("id")
    return [each.details for each in found]


def test_a_node_that_refuses_three_in_a_row_is_cordoned_and_says_why(testbed: Testbed, a: Node):
    testbed.settle()
    testbed.intercept(a, "start", refuse())
    fail_one_after_another(testbed, "xy")
    assert fresh(a).effective_state == "READY"
    [last] = fail_one_after_another(testbed, "z")
    assert fresh(a).effective_state == "CORDONED"
    assert a.state == a.observed == "READY"
    assert NO_DRIVER in a.reason
    assert "it is tried again at" in a.reason
    [said] = notices(last, "NODE_CORDONED")
    assert said["node"] == "a"
    assert said["retry_at"] == record_of(a).next_try_at
    waiting = testbed.submit("any")
    testbed.settle()
    assert testbed.status(waiting) == "QUEUED"
    why = reason(waiting)
    assert why["details"]["closed_nodes"] == why["details"]["failing_nodes"] == 1
    assert why["details"]["failing_nodes_retry_at"] == record_of(a).next_try_at
    assert "1 node is cordoned, as starts failed there one after another" in why["message"]


def test_nothing_starts_there_before_the_pause_is_over(testbed: Testbed, closed: Node):
    before = len(testbed.runtime_of(closed).launch_specs)
    testbed.submit("any")
    for _ in range(3):
        testbed.settle()
    assert len(testbed.runtime_of(closed).launch_specs) == before


@pytest.mark.parametrize("image", ["sleep", "broken"])
def test_one_broken_deployment_closes_no_node(testbed: Testbed, a: Node, image: str):
    """However often it is submitted."""
    testbed.settle()
    testbed.intercept(a, "start", refuse())
    for _ in range(6):
        testbed.submit(image)
        testbed.settle()
    assert fresh(a).effective_state == "READY"


def test_one_that_is_retried_again_and_again_closes_no_node(testbed: Testbed, a: Node):
    testbed.settle()
    testbed.intercept(a, "start", refuse(Code.UNSCHEDULABLE))
    row = testbed.submit()
    for _ in range(6):
        testbed.end_retry_pauses()
        testbed.settle()
    assert testbed.fresh(row).attempt >= 4
    assert fresh(a).effective_state == "READY"


def test_the_same_that_runs_elsewhere_speaks_against_the_node_each_time(testbed: Testbed, b: Node):
    """Many deployments of one image are what a sweep is: the image is sound, the node is not."""
    a = Node.objects.get(name="a")
    testbed.settle()
    nodes.cordon(b)
    testbed.submit()
    testbed.settle()
    nodes.uncordon(b)
    nodes.cordon(a)
    testbed.intercept(b, "start", refuse())
    for _ in range(3):
        assert fresh(b).effective_state == "READY"
        testbed.submit()
        testbed.settle()
    assert fresh(b).effective_state == "CORDONED"
    assert record_of(a).failed == []


def test_a_success_in_between_begins_the_count_anew(testbed: Testbed, a: Node):
    testbed.settle()
    for number in range(3):
        testbed.intercept(a, "start", refuse())
        fail_one_after_another(testbed, f"{number}x")
        testbed.intercept(a, "start", None)
        testbed.submit("hello", cpu_milli=100)
        testbed.settle()
    assert fresh(a).effective_state == "READY"


@pytest.mark.parametrize("script", ["exit:1", "no-command", "out-of-memory"])
def test_programs_that_fail_close_no_node(testbed: Testbed, a: Node, script: str):
    testbed.settle()
    for number in range(5):
        testbed.submit(script, env={"NUMBER": str(number)})
        testbed.settle()
    assert fresh(a).effective_state == "READY"


def test_images_that_cannot_be_pulled_close_no_node(testbed: Testbed, a: Node):
    testbed.settle()
    missing = {f"image-{name}" for name in "xyzuv"}
    testbed.runtime_of(a).missing_images |= missing
    testbed.runtime_of(a).unpullable_images |= missing
    fail_one_after_another(testbed, "xyzuv")
    assert fresh(a).failed_starts is None


def test_what_the_machine_ends_at_once_counts(testbed: Testbed, a: Node):
    testbed.settle()
    for name in "xyz":
        assert fresh(a).effective_state == "READY"
        row = testbed.submit(f"image-{name}")
        testbed.settle()
        assert testbed.status(row) == "RUNNING"
        testbed.runtime_of(a).finish(testbed.key(row), 137, Code.DISRUPTED)
        testbed.reconcile()
        stop_deployment(testbed.people["dev"], testbed.fresh(row))
    assert fresh(a).effective_state == "CORDONED"


def test_one_deployment_is_let_through_and_its_success_opens_the_node(
    testbed: Testbed, closed: Node
):
    rows = [testbed.submit(f"image-{name}", cpu_milli=100, gpu=0) for name in "uvw"]
    testbed.runtime_of(closed).missing_images.add("image-u")  # so that it is seen on its way
    testbed.intercept(closed, "start", None)
    end_pause(closed)
    reconcile(testbed.cluster.pk, ["*"], lambda *_: None)  # opens it
    assert fresh(closed).effective_state == "READY"
    testbed.cycle()
    reconcile(testbed.cluster.pk, ["*"], lambda *_: None)
    probe = record_of(closed).probe
    assert probe == str(rows[0].pk)
    assert fresh(closed).effective_state == "CORDONED"
    assert [testbed.status(row) for row in rows] == ["STARTING", "QUEUED", "QUEUED"]
    assert testbed.fresh(rows[1]).retry_count == 0
    assert notices(rows[0], "NODE_TRIED")
    testbed.cycle()
    reconcile(testbed.cluster.pk, ["*"], lambda *_: None)
    assert [testbed.status(row) for row in rows] == ["STARTING", "QUEUED", "QUEUED"]
    called = {each.deployment_id for each in testbed.runtime_of(closed).launch_specs}
    assert called == {probe}
    testbed.settle()
    assert fresh(closed).effective_state == "READY"
    assert closed.reason == ""
    assert [testbed.status(row) for row in rows] == ["RUNNING"] * 3
    assert notices(rows[0], "NODE_OPENED")


def test_its_failure_doubles_the_pause(testbed: Testbed, closed: Node):
    pauses = [record_of(closed).pause_s]
    for name in "uv":
        row = testbed.submit(f"image-{name}")
        end_pause(closed)
        testbed.reconcile()
        testbed.settle()
        assert testbed.status(row) == "FAILED"
        assert fresh(closed).effective_state == "CORDONED"
        pauses.append(record_of(closed).pause_s)
    assert pauses == [60, 120, 240]


def test_a_probe_that_leaves_without_an_outcome_makes_way_for_another(
    testbed: Testbed, closed: Node
):
    testbed.intercept(closed, "start", None)
    probe = testbed.submit("image-u")
    testbed.runtime_of(closed).missing_images.add("image-u")
    testbed.runtime_of(closed).delayed_images["image-u"] = "no route to host"
    end_pause(closed)
    testbed.reconcile()
    testbed.settle()
    assert record_of(closed).probe == str(probe.pk)
    stop_deployment(testbed.people["dev"], testbed.fresh(probe))
    other = testbed.submit("image-v")
    testbed.reconcile()
    testbed.settle()
    assert testbed.status(other) == "RUNNING"
    assert fresh(closed).effective_state == "READY"


def test_an_admin_opens_it_at_once(api: Any, ada: User, testbed: Testbed, closed: Node):
    path = f"/api/clusters/{testbed.cluster.pk}/nodes/{closed.pk}"
    shown = api(ada).get(path).json()
    assert shown["state"] == "CORDONED"
    assert NO_DRIVER in shown["reason"]
    assert [each["code"] for each in shown["failed_starts"]["failed"]] == ["REFUSED"] * 3
    assert shown["failed_starts"]["next_try_at"]
    opened = api(ada).post(f"{path}/uncordon", {}).json()
    assert opened["state"] == "READY"
    assert opened["failed_starts"] is None
    testbed.intercept(closed, "start", None)
    row = testbed.submit()
    testbed.settle()
    assert testbed.status(row) == "RUNNING"


def test_a_cordon_of_people_stays_theirs(testbed: Testbed, closed: Node):
    nodes.cordon(closed)
    testbed.intercept(closed, "start", None)
    end_pause(closed)
    row = testbed.submit()
    testbed.reconcile()
    testbed.settle()
    assert fresh(closed).effective_state == "CORDONED"
    assert testbed.status(row) == "QUEUED"
