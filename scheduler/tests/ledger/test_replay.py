"""`manage.py replay`: recorded cycles give the same plans, and each difference is shown."""

import json
import zlib
from dataclasses import replace as changed
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clusters.models import Cluster
from scheduler.engine import make_plan
from scheduler.engine.codec import FORMAT, decode_plan, encode_plan
from scheduler.models import SchedulingCycle
from scheduler.replay import differences
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.engine.build import job, pool, run

pytestmark = pytest.mark.django_db


def replay(*args: str, **options: Any) -> str:
    out = StringIO()
    call_command("replay", *args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def refused(*args: str, **options: Any) -> tuple[str, str]:
    """What the command printed, and the sentence with which it ended."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("replay", *args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue(), str(caught.value)


@pytest.fixture
def cycles(cluster: Cluster, submit: Submit) -> list[SchedulingCycle]:
    """LOW fill the pool; then a HIGH evicts one of them."""
    submit(gpu=4)
    submit(gpu=4)
    run_cycle(cluster)
    submit("HIGH", gpu=4)
    run_cycle(cluster)
    found = list(SchedulingCycle.objects.order_by("started_at"))
    assert [(each.started_count, each.evicted_count) for each in found] == [(2, 0), (1, 1)]
    return found


def test_a_recorded_cycle_gives_the_same_plan(cycles: list[SchedulingCycle]) -> None:
    assert replay(str(cycles[1].pk)) == f"{cycles[1].pk}: the same plan\n"


def test_the_whole_ledger(cycles: list[SchedulingCycle]) -> None:
    assert replay("--all") == "2 cycles: 2 the same plan.\n"


def test_one_cluster_and_a_time(cycles: list[SchedulingCycle], other_cluster: Cluster) -> None:
    assert replay("--all", "--cluster", str(other_cluster.pk)) == "0 cycles.\n"
    since = cycles[1].started_at.isoformat()
    assert replay("--all", "--cluster", str(cycles[0].cluster_id), "--since", since) == (
        "1 cycle: 1 the same plan.\n"
    )


@pytest.fixture
def other_cluster(cluster: Cluster) -> Cluster:
    return Cluster.objects.create(
        organization=cluster.organization,
        name="other",
        total_cpu_milli=1000,
        total_ram_mib=1024,
        total_gpu=0,
    )


def test_another_plan_is_shown_and_fails(cycles: list[SchedulingCycle]) -> None:
    """The row has been changed: it says that nothing was evicted."""
    plan = decode_plan(bytes(cycles[1].plan))
    cycles[1].plan = encode_plan(type(plan)(plan.starts, (), plan.waits))
    cycles[1].save()
    victim = plan.evictions[0].workload_id
    out, sentence = refused("--all")
    assert f"{cycles[1].pk}: another plan\n    + evictions: workload_id={victim} " in out
    assert sentence == "1 of 2 do not hold."


def test_another_snapshot_is_shown_and_fails(cycles: list[SchedulingCycle]) -> None:
    cycles[1].snapshot = cycles[0].snapshot
    cycles[1].save()
    out, _ = refused(str(cycles[1].pk))
    assert "- starts: " in out
    assert "+ starts: " in out


@pytest.mark.parametrize("column", ["snapshot", "plan"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes([*data[:20], data[20] ^ 255, *data[21:]]),
        lambda data: zlib.compress(json.dumps([FORMAT, []]).encode()),
        lambda data: zlib.compress(json.dumps([FORMAT, {"a": 1}]).encode()),
        lambda data: zlib.compress(json.dumps([FORMAT, [[1]] * 4]).encode()),
        lambda data: zlib.compress(b"7"),
    ],
)
def test_a_damaged_row_is_shown_and_fails(
    cycles: list[SchedulingCycle], column: str, damage: Any
) -> None:
    setattr(cycles[0], column, damage(bytes(getattr(cycles[0], column))))
    cycles[0].save()
    out, sentence = refused("--all")
    assert f"{cycles[0].pk}: damaged\n" in out
    assert "2 cycles: 1 the same plan, 1 damaged." in out
    assert sentence == "1 of 2 do not hold."


def test_a_row_of_another_engine_is_counted_and_skipped(cycles: list[SchedulingCycle]) -> None:
    SchedulingCycle.objects.filter(pk=cycles[0].pk).update(engine_version="0")
    assert replay("--all") == "2 cycles: 1 the same plan, 1 of another version.\n"
    assert "of another version\n    engine version 0" in replay(str(cycles[0].pk))
    out, sentence = refused("--all", "--strict")
    assert f"{cycles[0].pk}: of another version" in out
    assert sentence == "1 of 2 do not hold."


def test_a_row_in_another_format_is_skipped(cycles: list[SchedulingCycle]) -> None:
    other = zlib.compress(json.dumps([FORMAT - 1, []]).encode())
    SchedulingCycle.objects.filter(pk=cycles[0].pk).update(snapshot=other)
    assert replay("--all") == "2 cycles: 1 the same plan, 1 of another version.\n"


def test_other_deflated_bytes_of_the_same_plan_are_the_same(cycles: list[SchedulingCycle]) -> None:
    again = zlib.compress(zlib.decompress(bytes(cycles[0].plan)), level=9)
    SchedulingCycle.objects.filter(pk=cycles[0].pk).update(plan=again)
    assert replay(str(cycles[0].pk)) == f"{cycles[0].pk}: the same plan\n"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["seven"], "'seven' is not the id of a cycle."),
        (
            ["01a202d7-0dc1-7778-b84f-b79216239de1"],
            "There is no cycle 01a202d7-0dc1-7778-b84f-b79216239de1 in the ledger.",
        ),
        ([], "Give the id of one cycle, or --all."),
        (["seven", "--all"], "Give the id of one cycle, or --all."),
        (["--all", "--cluster", "west"], "'west' is not the id of a cluster."),
        (["--all", "--since", "noon"], "'noon' is no time such as 2026-11-22T10:30."),
    ],
)
def test_one_sentence_for_what_makes_no_sense(args: list[str], sentence: str) -> None:
    assert refused(*args) == ("", sentence)


def test_memory_does_not_follow_the_ledger(
    cycles: list[SchedulingCycle], django_assert_num_queries: Any
) -> None:
    """Two queries, one of them read a few rows at a time, however many cycles there are."""
    for cycle in cycles * 30:
        cycle.pk = None
        cycle._state.adding = True
        cycle.save()
    with django_assert_num_queries(2):
        replay("--all")


def test_differences_name_what_differs() -> None:
    snapshot = pool(running=[run(gpu=8, id="low")], queued=[job(gpu=8, high=True, id="high")])
    plan = make_plan(snapshot)
    assert differences(plan, type(plan)()) == [
        "- starts: workload_id=high placement=({'node_id': None, 'replicas': 1},) victims=('low',)"
        " proved=True alternative_cost=0 jointly=False by_image=False",
        next(line for line in differences(plan, type(plan)()) if line.startswith("- evictions")),
    ]
    reserved = changed(plan, reserved_for=("big",))
    assert differences(plan, reserved) == ["- reserved_for: ()", "+ reserved_for: ('big',)"]
    assert differences(plan, plan) == ["the plans are equal, and written down differently"]
