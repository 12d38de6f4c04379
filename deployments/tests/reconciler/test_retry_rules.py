"""Which failures are tried again, and with how much memory."""

from typing import Any

import pytest

from clusters.models import Node
from deployments.models import Deployment
from deployments.runtimes.base import Code
from deployments.scheduling_key import key_of
from deployments.tests.reconciler.testbed import Testbed, reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db

GROWING = {"ram_factor_milli": 1500, "ram_limit_mib": 1000}


def fail_once(testbed: Testbed, image: str, **columns: Any) -> Deployment:
    """A submit that has failed its first attempt, as the row is then."""
    testbed.reconcile()
    row = testbed.submit(image, **{"max_retries": 5, **columns})
    testbed.settle()
    return testbed.fresh(row)


def try_again(testbed: Testbed, row: Deployment) -> Deployment:
    testbed.end_retry_pauses()
    testbed.settle()
    return testbed.fresh(row)


@pytest.mark.parametrize(
    ("image", "rules", "status"),
    [
        ("exit:75", {}, "QUEUED"),
        ("exit:75", {"on": ["75"]}, "QUEUED"),
        ("exit:75", {"on": ["70-80"]}, "QUEUED"),
        ("exit:75", {"on": ["EXITED"]}, "QUEUED"),
        ("exit:75", {"on": ["1", "OUT_OF_MEMORY"]}, "FAILED"),
        ("exit:75", {"on": ["76-80"]}, "FAILED"),
        ("exit:75", {"not_on": ["2"]}, "QUEUED"),
        ("exit:75", {"not_on": ["75"]}, "FAILED"),
        ("exit:75", {"on": ["1-255"], "not_on": ["75"]}, "FAILED"),
        ("out-of-memory", {"on": ["OUT_OF_MEMORY"]}, "QUEUED"),
        ("out-of-memory", {"on": ["137"]}, "FAILED"),
        ("out-of-memory", {"not_on": ["137"]}, "QUEUED"),
        ("out-of-memory", {"not_on": ["OUT_OF_MEMORY"]}, "FAILED"),
        ("no-command", {"on": ["COMMAND_FAILED"]}, "QUEUED"),
        ("no-command", {"on": ["127"]}, "FAILED"),
    ],
)
def test_a_failure_is_tried_again_where_the_rules_name_its_cause(
    testbed: Testbed, a: Node, image: str, rules: dict[str, Any], status: str
):
    row = fail_once(testbed, image, retry=rules)
    assert (row.status, row.retry_count) == (status, int(status == "QUEUED"))


@pytest.mark.parametrize(
    ("rules", "ended_by", "sentence"),
    [
        (
            {"on": ["1"]},
            "retry_on",
            "It ended with exit code 3. It is not tried again: its retry_on does not name that.",
        ),
        (
            {"not_on": ["3"]},
            "fail_on",
            "It ended with exit code 3. It is not tried again: its fail_on names that.",
        ),
    ],
)
def test_the_reason_names_the_rule_that_ended_it(
    testbed: Testbed, a: Node, rules: dict[str, Any], ended_by: str, sentence: str
):
    row = fail_once(testbed, "exit:3", retry=rules)
    found = reason(row)
    assert (found["code"], found["message"]) == ("EXITED", sentence)
    assert found["details"]["ended_by"] == ended_by
    last = row.events.latest("id")
    assert (last.type, last.details["ended_by"]) == ("FAILED", ended_by)


def test_a_service_ends_where_a_rule_says_so(testbed: Testbed, a: Node):
    row = fail_once(testbed, "exit:0", kind="service", max_retries=0, retry={"not_on": ["0"]})
    assert (row.status, row.exit_code) == ("FAILED", 0)


def test_rules_use_no_more_retries_than_there_are(testbed: Testbed, a: Node):
    row = fail_once(testbed, "exit:3", max_retries=1, retry={"on": ["3"]})
    assert (row.status, row.retry_count) == ("QUEUED", 1)
    row = try_again(testbed, row)
    assert (row.status, row.retry_count) == ("FAILED", 1)
    assert "ended_by" not in reason(row)["details"]


def test_after_a_lack_of_memory_the_next_attempt_asks_for_more_up_to_the_limit(
    testbed: Testbed, a: Node
):
    row = fail_once(testbed, "out-of-memory", retry=GROWING)
    assert (row.status, row.ram_mib) == ("QUEUED", 768)
    assert allocated(testbed.cluster) == (0, 0, 0)
    assert row.scheduling_key == key_of(row)
    assert "/768/" in row.scheduling_key
    found = reason(row)
    assert found["message"].startswith(
        "It needed more memory than the 512 MiB of RAM it asked for. "
        "The next attempt asks for 768 MiB of RAM."
    )
    assert found["details"]["next"] == {"ram": 768}
    change = row.events.get(type="CHANGED")
    assert change.details == {
        "required_ram": {"from": 512, "to": 768},
        "code": "OUT_OF_MEMORY",
        "attempt": 1,
    }
    row = try_again(testbed, row)
    assert (row.status, row.ram_mib) == ("QUEUED", 1000)
    assert [spec.ram_mib for spec in testbed.runtime_of(a).launch_specs] == [512, 768]
    row = try_again(testbed, row)
    assert (row.status, row.ram_mib, row.retry_count) == ("FAILED", 1000, 2)
    assert reason(row)["message"] == (
        "It needed more memory than the 1000 MiB of RAM it asked for. "
        "It is not tried again: its retry_ram_limit is reached."
    )
    assert allocated(testbed.cluster) == (0, 0, 0)


def test_other_failures_ask_for_the_same_memory_again(testbed: Testbed, a: Node):
    row = fail_once(testbed, "exit:3", retry=GROWING)
    assert (row.status, row.ram_mib) == ("QUEUED", 512)


def test_a_gang_asks_for_more_once_its_other_replicas_have_ended(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("deaf", replicas=2, max_retries=1, grace_s=3600, retry=GROWING)
    testbed.settle()
    runtime = testbed.runtime_of(a)
    runtime.finish(testbed.key(row), exit_code=137, problem=Code.OUT_OF_MEMORY)
    testbed.reconcile()
    stopping = testbed.fresh(row)
    assert (stopping.status, stopping.ram_mib) == ("STOPPING", 512)
    assert allocated(testbed.cluster) == (2000, 1024, 2)
    testbed.expire_grace(row)
    testbed.reconcile()
    testbed.reconcile()
    back = testbed.fresh(row)
    assert (back.status, back.ram_mib, back.scheduling_key) == ("QUEUED", 768, key_of(back))
    assert allocated(testbed.cluster) == (0, 0, 0)
    assert testbed.events(row)[-2:] == ["REQUEUED", "CHANGED"]


def test_what_asks_for_more_than_any_node_has_waits_and_says_so(testbed: Testbed, a: Node):
    rules = {"ram_factor_milli": 10000, "ram_limit_mib": 100_000}
    row = fail_once(testbed, "out-of-memory", ram_mib=8000, retry=rules)
    row = try_again(testbed, row)
    assert (row.status, row.ram_mib, row.attempt) == ("QUEUED", 80_000, 1)
    assert reason(row)["details"]["waiting_for"]["code"] == "EXCEEDS_CAPACITY"


def test_a_preempted_one_that_is_to_fail_stops_first_and_then_has_failed(testbed: Testbed, a: Node):
    testbed.reconcile()
    low = testbed.submit("deaf", gpu=2, grace_s=3600, on_preempt="fail")
    testbed.settle()
    high = testbed.submit(gpu=2, priority="HIGH")
    testbed.settle()
    row = testbed.fresh(low)
    assert (row.status, row.next_status, row.yielded) == ("STOPPING", "FAILED", True)
    assert testbed.status(high) == "STARTING"
    testbed.expire_grace(low)
    testbed.settle()
    row = testbed.fresh(low)
    assert (row.status, row.exit_code, row.reason_code) == ("FAILED", 137, "PREEMPTED")
    assert row.reason_details["by"] == str(high.pk)
    assert row.events.latest("id").details["by"] == str(high.pk)
    assert testbed.status(high) == "RUNNING"
    assert allocated(testbed.cluster) == (1000, 512, 2)
    assert testbed.events(low)[-2:] == ["PREEMPTED", "FAILED"]
