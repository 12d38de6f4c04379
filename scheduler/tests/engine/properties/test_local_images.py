"""Images choose between equal nodes, and decide nothing else."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import LocalImage
from scheduler.tests.engine.plans import carried_out
from scheduler.tests.engine.strategies import snapshots


def several_nodes(snapshot: Snapshot) -> bool:
    return len(snapshot.nodes) > 1


@st.composite
def with_images(draw: st.DrawFn) -> Snapshot:
    """Any snapshot of several nodes, most often with much and the same free on all that are open,
    and each workload of any of three images."""
    snapshot = draw(snapshots(max_queued=5).filter(several_nodes))
    if draw(st.integers(0, 3)):
        free = Resources(6000, 6 * 1024, draw(st.integers(0, 3)))
        same = (
            replace(each, capacity=each.allocated.plus(free), state="READY")
            for each in snapshot.nodes
        )
        snapshot = replace(snapshot, nodes=tuple(same), state="ACTIVE")
    image_of = {each.id: draw(st.integers(0, 2)) for each in snapshot.queued}
    images = tuple(
        LocalImage(
            tuple(sorted(id_ for id_, image in image_of.items() if image == number)),
            draw(st.sampled_from([(0,), (1,), (1, 2), (2, 3), ()])),
        )
        for number in range(3)
    )
    known = range(len(snapshot.nodes))
    images = tuple(
        replace(each, nodes=tuple(at for at in each.nodes if at in known)) for each in images
    )
    return replace(snapshot, local_images=images)


def found(snapshot: Snapshot, plan: Plan) -> int:
    """How many replicas start where their image is."""
    ids = sorted(node.id for node in snapshot.nodes)
    return sum(
        placement.replicas
        for start in plan.starts
        for image in snapshot.local_images
        if start.workload_id in image.workload_ids
        for placement in start.placement
        if placement.node_id in {ids[at] for at in image.nodes}
    )


@given(with_images())
@settings(max_examples=examples(300), deadline=None)
def test_images_change_nothing_but_which_of_equal_nodes_it_is(snapshot: Snapshot) -> None:
    without = make_plan(replace(snapshot, local_images=()))
    plan = make_plan(snapshot)

    placed = {start.workload_id: start.placement for start in without.starts}
    moved = [start for start in plan.starts if start.placement != placed[start.workload_id]]
    unmoved = tuple(
        replace(start, placement=placed[start.workload_id], by_image=False) for start in plan.starts
    )
    assert replace(plan, starts=unmoved) == without
    assert check(snapshot, plan) == []
    assert [start for start in plan.starts if start.by_image] == moved
    assert found(snapshot, plan) > found(snapshot, without) if moved else plan == without


@given(with_images())
@settings(max_examples=examples(100), deadline=None)
def test_they_change_nothing_of_what_starts_next(snapshot: Snapshot) -> None:
    """Once the plan is carried out, the same starts, is evicted and waits as without them."""
    bare = replace(snapshot, local_images=())
    with_them = carried_out(bare, make_plan(snapshot))
    without = carried_out(bare, make_plan(bare))

    def starts(one: Snapshot) -> set[str]:
        return {start.workload_id for start in make_plan(one).starts}

    assert starts(with_them) == starts(without)


@given(with_images())
@settings(max_examples=examples(100), deadline=None)
def test_the_recorded_snapshot_gives_the_same_plan_again(snapshot: Snapshot) -> None:
    copied = decode_snapshot(encode_snapshot(snapshot))
    assert copied == snapshot
    assert encode_plan(make_plan(copied)) == encode_plan(make_plan(snapshot))
