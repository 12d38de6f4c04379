"""What failed starts make of a node, without a database."""

from datetime import UTC, datetime, timedelta

from clusters.nodes.failed_starts import FailedStarts, Failure, Limits, sentence

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Limits(most=3, first_pause_s=60, last_pause_s=200)


def failure(name: str, *, key: str = "", disrupted: bool = False, since: int = 0) -> Failure:
    admitted_at = NOW + timedelta(seconds=since)
    return Failure(key or name, name, "REFUSED", "no driver", admitted_at, disrupted)


def after(*names: str, limits: Limits = LIMITS) -> FailedStarts:
    record = FailedStarts()
    for name in names:
        record.fail(failure(name), NOW, limits)
    return record


def pause_s(record: FailedStarts) -> float:
    assert record.next_try_at is not None
    return (datetime.fromisoformat(record.next_try_at) - NOW).total_seconds()


def test_so_many_in_a_row_close_it_and_no_fewer():
    assert not after("a", "b").is_closed
    closed = after("a", "b", "c")
    assert closed.is_closed
    assert closed.since == NOW.isoformat()
    assert pause_s(closed) == 60
    assert after("a", limits=Limits(1, 60, 200)).is_closed


def test_failures_of_one_cause_count_once_however_many_they_are():
    record = FailedStarts()
    for number in range(10):
        record.fail(failure(str(number), key="one image"), NOW, LIMITS)
    assert not record.is_closed
    assert len(record.failed) == 1


def test_a_success_in_between_ends_the_row():
    record = after("a", "b")
    assert not record.succeed("good")
    assert not record.fail(failure("c"), NOW, LIMITS)
    assert [each["deployment_id"] for each in record.failed] == ["c"]


def test_a_success_that_its_machine_ended_at_once_was_none():
    record = after("a", "b")
    record.succeed("c")
    assert record.fail(failure("c", disrupted=True), NOW, LIMITS)
    assert record.is_closed


def test_what_one_incident_ended_counts_once():
    record = FailedStarts()
    for name in "abc":
        record.fail(failure(name, disrupted=True), NOW, LIMITS)
    assert len(record.failed) == 1
    record.fail(failure("d", disrupted=True, since=1), NOW + timedelta(seconds=2), LIMITS)
    record.fail(failure("e", disrupted=True, since=3), NOW + timedelta(seconds=4), LIMITS)
    assert record.is_closed


def test_the_pause_doubles_with_each_probe_that_fails_up_to_its_bound():
    record, pauses = after("a", "b", "c"), []
    for number in range(4):
        pauses.append(pause_s(record))
        assert not record.is_due(NOW)
        assert record.is_due(NOW + timedelta(seconds=pauses[-1]))
        record.await_probe()
        assert record.awaits_probe
        record.probe = f"probe-{number}"
        assert record.is_closed
        assert record.fail(failure(record.probe), NOW, LIMITS)
    assert pauses == [60, 120, 200, 200]
    assert record.since == NOW.isoformat()


def test_the_probes_success_opens_it_and_the_next_row_begins_anew():
    record = after("a", "b", "c")
    record.await_probe()
    record.probe = "probe"
    assert record.succeed("probe")
    assert not record.is_closed
    assert record.since is None
    for name in "de":
        assert not record.fail(failure(name), NOW, LIMITS)
    assert record.fail(failure("f"), NOW, LIMITS)
    assert pause_s(record) == 60


def test_a_probe_that_its_machine_ends_at_once_closes_it_again_for_twice_as_long():
    record = after("a", "b", "c")
    record.probe, record.next_try_at = "probe", None
    record.succeed("probe")
    assert record.fail(failure("probe", disrupted=True), NOW, LIMITS)
    assert pause_s(record) == 120


def test_others_that_fail_there_meanwhile_do_not_prolong_the_pause():
    record = after("a", "b", "c")
    assert not record.fail(failure("late"), NOW + timedelta(seconds=30), LIMITS)
    assert pause_s(record) == 60


def test_it_says_what_happened_and_what_comes_next():
    record = after("a", "b", "c")
    why = "Starts failed here one after another (REFUSED: no driver)"
    assert sentence(record.column()) == f"{why}: it is tried again at 2026-03-01 00:01:00 UTC."
    record.await_probe()
    assert sentence(record.column()) == f"{why}: the next deployment that starts here tries it."
    record.probe = "probe"
    assert sentence(record.column()) == f"{why}: probe is trying it."
    assert sentence(None) == sentence(after("a").column()) == ""
