"""A gang under binpack takes as few nodes as any placement could."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.resources import Resources
from scheduler.tests.engine.build import node, rack

sizes = st.tuples(st.integers(0, 8), st.integers(1, 16), st.integers(1, 16))


@given(
    free=st.lists(sizes, min_size=1, max_size=12),
    request=st.tuples(st.integers(0, 4), st.integers(1, 6), st.integers(1, 6)),
    replicas=st.integers(2, 20),
)
def test_a_gang_takes_the_fewest_nodes(
    free: list[tuple[int, int, int]], request: tuple[int, int, int], replicas: int
) -> None:
    """With the nodes that take the most first, so many are enough, and fewer never are. Only a gang
    that asks for no GPUs may take more, where that keeps it off the nodes that have any."""
    nodes = [node(f"n{n:02}", gpu=g, cpu=c, ram=r) for n, (g, c, r) in enumerate(free)]
    gpu, cpu, ram = request
    asked = Resources(cpu * 1000, ram * 1024, gpu)
    where = Capacity(rack(nodes)).place(asked, replicas, ())
    if gpu == 0:
        without = [each for each in nodes if each.capacity.gpu == 0]
        if sum(asked.count_in(each.capacity) for each in without) >= replicas:
            nodes = without
    counts = {each.id: asked.count_in(each.capacity) for each in nodes}
    needed = [
        number
        for number, in_all in enumerate(accumulate(sorted(counts.values(), reverse=True)), start=1)
        if in_all >= replicas
    ]
    if where is None:
        assert not needed
        return
    assert len(where) == needed[0]
    assert sum(count for _, count in where) == replicas
    assert all(0 < count <= counts[f"n{at:02}"] for at, count in where)
