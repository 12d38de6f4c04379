"""The decision of a cycle whose queue is short, and therefore read whole."""

from collections.abc import Set

from scheduler.engine import Decision
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.snapshot import Running
from scheduler.store.queue.bounds import preempting_classes
from scheduler.store.queue.head import Decide
from scheduler.store.queue.starved import ends_matter, starved_gangs
from scheduler.store.running import running_in


def decide_whole(view: ClusterView, decide: Decide) -> Decision:
    """The decision of a view that has all that waits, and all that runs or nothing of it.

    Most often all of the queue fits in what is free, and what runs is not read.
    """
    queued, capacity = view.snapshot.queued, view.cluster.capacity
    started, decision = set[str](), None
    if any(capacity.place(each.request, each.replicas, each.selector) for each in queued):
        decision = decide(view)
        started = decision.started
    left = {each.priority for each in queued if each.id not in started}
    if view.snapshot.nodes:
        left |= starved_gangs(view.snapshot)
    all_run = bool(view.snapshot.running)
    if left and not all_run and (running := running_that_matters(view, left)):
        return decide(view.with_running(running))
    return decision or decide(view)


def running_that_matters(view: ClusterView, left: Set[str]) -> tuple[Running, ...]:
    """Where workloads of the classes `left` wait: all that runs, if a reservation may depend on its
    ends, else what these classes may evict. Most often nothing, and then no query."""
    if ends_matter(view.snapshot):
        return running_in(view.snapshot)
    values = [view.cluster.classes[name].value for name in left & preempting_classes(view)]
    if not values:
        return ()
    return running_in(view.snapshot, priority_class__value__lt=max(values))
