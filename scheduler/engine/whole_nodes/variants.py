"""Workloads that take whole nodes, or all GPUs of nodes, as workloads of fixed sizes.

A replica that takes a whole node gets what the node has. So the planner makes of such a workload
one variant for each size of node: it asks for the amount that a node of the size has, and only
nodes of the size suit it. A variant is a workload like any other to the whole planner: it fits only
in an empty node, its victims are all that runs there, and what is reserved for it, or counts
against its owner's quota, is all of the node. At most one of the variants starts (state.py).

All replicas get the same amounts, as programs that share a task in equal parts need it. Machines
of one kind often differ by some MiB of RAM. So for a gang nodes are of one size whose CPUs and GPUs
are equal and whose RAM differs by no more than 1/32, and it gets the least RAM of these. As every
workload asks for CPU, nothing else runs where all CPUs are taken.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.placement.node_sizes import ALIKE, EQUAL, OF_GPUS, are_alike, label_of
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import GPUS, Workload

MOST_SIZES = 32  # of single nodes; where there are more, those of about the same RAM are one

Size = tuple[str, Resources, int]  # the kind of label, what each replica gets, how many nodes


def variants(capacity: Capacity, workload: Workload) -> tuple[Workload, ...]:
    """One for each size of which there are enough nodes, the smallest first; none in a pool."""
    return tuple(
        replace(
            workload,
            id=f"{workload.id}#{number}",
            scheduling_key=f"{workload.scheduling_key}#{number}",
            request=given,
            selector=(*workload.selector, label_of(kind, given)),
            variant_of=workload,
        )
        for number, (kind, given, nodes) in enumerate(sizes(capacity, workload))
        if nodes >= workload.replicas
    )


def expand(capacity: Capacity, workloads: Iterable[Workload]) -> Iterator[Workload]:
    """Each workload that takes whole nodes replaced by its variants."""
    known: dict[str, tuple[Workload, ...]] = {}  # by scheduling key
    for workload in workloads:
        if not workload.whole:
            yield workload
            continue
        key = workload.scheduling_key
        if key not in known:
            known[key] = variants(capacity, workload)
        for each in known[key]:
            yield replace(
                workload,
                id=f"{workload.id}{each.id.removeprefix(each.origin.id)}",
                scheduling_key=each.scheduling_key,
                request=each.request,
                selector=each.selector,
                variant_of=workload,
            )


def sizes(capacity: Capacity, workload: Workload) -> list[Size]:
    """Of the nodes that are large enough, open or not, the smallest size first."""
    if capacity.ids == [None]:
        return []
    totals, by_size = capacity.totals, dict[Resources, int]()
    for at in capacity.ever_eligible(workload.selector):
        if workload.request.fits_in(totals[at]):
            by_size[totals[at]] = by_size.get(totals[at], 0) + 1
    if workload.whole == GPUS:
        return _by_gpus(workload.request, by_size)
    order = sorted(by_size, key=lambda size: (size.gpu, size.cpu_milli, size.ram_mib))
    if workload.replicas == 1 and len(set(totals)) <= MOST_SIZES:
        return [(EQUAL, size, by_size[size]) for size in order]
    found: list[Size] = []
    for size in order:
        if found and are_alike(size, found[-1][1]):
            found[-1] = (ALIKE, found[-1][1], found[-1][2] + by_size[size])
        else:
            found.append((ALIKE, size, by_size[size]))
    return found


def _by_gpus(request: Resources, by_size: dict[Resources, int]) -> list[Size]:
    counts: dict[int, int] = {}
    for size, nodes in by_size.items():
        if size.gpu:
            counts[size.gpu] = counts.get(size.gpu, 0) + nodes
    return [(OF_GPUS, request._replace(gpu=gpus), counts[gpus]) for gpus in sorted(counts)]
