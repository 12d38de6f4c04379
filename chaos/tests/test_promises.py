"""What was acknowledged is compared with the table: each way to break a promise is found."""

from dataclasses import replace
from uuid import uuid4

import pytest

from chaos.checks.findings import Breach
from chaos.checks.promises import Row, broken
from chaos.load.journal import Submit

CLUSTER = str(uuid4())


def submitted(name: str = "chaos-1", runtime_s: int | None = 2, **columns: object) -> Submit:
    submit = Submit(name, CLUSTER, "LOW", runtime_s, id=str(uuid4()), acknowledged_at=1.0)
    return replace(submit, **columns)  # type: ignore[arg-type]  # the tests' own names


def row_of(submit: Submit, status: str = "COMPLETED", **columns: object) -> Row:
    row = Row(submit.name, submit.id or str(uuid4()), CLUSTER, status, "LOW", 1)
    return row._replace(**columns)  # type: ignore[arg-type]  # the tests' own names


def breaches(submit: Submit, *rows: Row) -> list[Breach]:
    return [each.breach for each in broken([submit], rows)]


def test_a_deployment_that_is_as_acknowledged_breaks_nothing() -> None:
    submit = submitted()
    assert breaches(submit, row_of(submit)) == []


def test_an_acknowledged_submit_that_is_not_there_is_lost() -> None:
    assert breaches(submitted()) == [Breach.LOST]


def test_an_acknowledged_submit_that_is_there_with_another_id_is_lost() -> None:
    submit = submitted()
    assert breaches(submit, row_of(submit, id=str(uuid4()))) == [Breach.LOST]


def test_a_submit_that_is_there_twice_is_doubled() -> None:
    submit = submitted()
    again = row_of(submit, id=str(uuid4()))
    assert breaches(submit, row_of(submit), again) == [Breach.DOUBLED]


def test_a_submit_without_an_answer_may_be_there_once_and_not_twice() -> None:
    submit = submitted(id=None, acknowledged_at=None)
    assert breaches(submit) == []
    assert breaches(submit, row_of(submit)) == []
    assert breaches(submit, row_of(submit), row_of(submit)) == [Breach.DOUBLED]


def test_a_submit_whose_timeline_begins_twice_is_doubled() -> None:
    submit = submitted()
    assert breaches(submit, row_of(submit, submitted=2)) == [Breach.DOUBLED]


def test_a_refused_submit_that_is_there_is_doubled() -> None:
    submit = submitted(id=None, acknowledged_at=None, refused=True)
    assert breaches(submit) == []
    assert breaches(submit, row_of(submit, "QUEUED")) == [Breach.DOUBLED]


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING", "FAILED", "STOPPED"])
def test_what_has_a_run_time_and_has_not_completed_is_lost(status: str) -> None:
    submit = submitted()
    assert breaches(submit, row_of(submit, status)) == [Breach.LOST]


@pytest.mark.parametrize(("status", "fine"), [("RUNNING", True), ("COMPLETED", False)])
def test_what_has_no_run_time_goes_on(status: str, fine: bool) -> None:
    submit = submitted(runtime_s=None)
    assert (breaches(submit, row_of(submit, status)) == []) is fine


def test_an_acknowledged_stop_without_effect_is_lost() -> None:
    submit = submitted(
        runtime_s=None, stop_asked=True, stop_acknowledged_at=2.0, stop_said="STOPPED"
    )
    assert breaches(submit, row_of(submit, "STOPPED")) == []
    assert Breach.LOST in breaches(submit, row_of(submit, "RUNNING"))
    assert Breach.LOST in breaches(submit, row_of(submit, "QUEUED"))


def test_a_stop_that_says_running_of_what_has_ended_is_found() -> None:
    submit = submitted(stop_asked=True, stop_acknowledged_at=2.0, stop_said="RUNNING")
    assert breaches(submit, row_of(submit, "COMPLETED")) == [Breach.LOST]


def test_an_acknowledged_change_that_is_not_there_is_lost() -> None:
    submit = submitted(priority_asked="HIGH", priority_acknowledged_at=2.0)
    assert breaches(submit, row_of(submit, priority="HIGH")) == []
    assert breaches(submit, row_of(submit)) == [Breach.LOST]


def test_a_change_without_an_answer_may_be_there_or_not() -> None:
    submit = submitted(priority_asked="HIGH")
    assert breaches(submit, row_of(submit, priority="HIGH")) == []
    assert breaches(submit, row_of(submit)) == []


def test_a_change_that_no_user_asked_for_is_found() -> None:
    submit = submitted()
    assert breaches(submit, row_of(submit, priority="HIGH")) == [Breach.LOST]


def test_a_bulk_of_which_a_part_is_there_is_found_whether_or_not_it_was_acknowledged() -> None:
    items = [
        submitted(name, bulk="bulk-1", id=None, acknowledged_at=None) for name in ("one", "two")
    ]
    assert list(broken(items, [])) == []
    assert list(broken(items, map(row_of, items))) == []
    assert [each.breach for each in broken(items, [row_of(items[1])])] == [Breach.LOST]


def test_a_finding_is_of_the_moment_of_the_acknowledgement() -> None:
    assert [each.at for each in broken([submitted(acknowledged_at=7.5)], [])] == [7.5]
