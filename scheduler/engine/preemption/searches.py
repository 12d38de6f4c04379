"""Which of a cycle's running workloads each preemptor may evict."""

from collections.abc import Mapping
from dataclasses import replace

from scheduler.engine.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates, candidates_of
from scheduler.engine.preemption.exemption import is_patient
from scheduler.engine.preemption.search import PreemptionSearch
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.snapshot import PriorityClass, Snapshot, Workload

_Kind = tuple[bool, int | None]  # patience, and with a class_cost_ratio the preemptor's value


class Searches:
    """The searches of patient and of impatient preemptors: from the latter, young workloads are
    exempt. Each is made when it is first asked for, and both see every eviction.

    With a `class_cost_ratio` no class goes before another: the weights alone tell them apart, so
    all candidates of a preemptor are of one value. Then each class that preempts has its own.

    Of equal waiting workloads the first in the scheduling order is asked for, and answers for all.
    """

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self._policy, self._now_ms = snapshot.policy, snapshot.now_ms
        self._capacity = capacity
        self._left = {each.id: each for each in candidates_of(snapshot, capacity, classes)}
        self._any_exempt = any(each.is_exempt for each in self._left.values())
        self._made: dict[_Kind, tuple[PreemptionSearch, Candidates]] = {}
        self._values = {name: each.value for name, each in classes.items()}
        # The value that all candidates get where classes have a ratio.
        self._one_tier = min((each.value for each in self._left.values()), default=0)
        # By the only ids that may be evicted.
        self._among: dict[frozenset[str], tuple[PreemptionSearch, Candidates]] = {}

    def of(self, preemptor: Workload) -> tuple[PreemptionSearch, Candidates]:
        """The search, and the candidates that it searches."""
        patient = not self._any_exempt or is_patient(preemptor, self._policy, self._now_ms)
        has_ratio = self._policy.class_cost_ratio > 0
        kind = (patient, self._values[preemptor.priority] if has_ratio else None)
        if kind not in self._made:
            allowed = [each for each in self._left.values() if patient or not each.is_exempt]
            if (below := kind[1]) is not None:
                allowed = [
                    replace(each, value=self._one_tier) for each in allowed if each.value < below
                ]
            candidates = Candidates(self._capacity, allowed)
            self._made[kind] = PreemptionSearch(self._capacity, candidates), candidates
        return self._made[kind]

    def is_patient(self, preemptor: Workload) -> bool:
        """Whether none is exempt from it."""
        return not self._any_exempt or is_patient(preemptor, self._policy, self._now_ms)

    def among(self, ids: frozenset[str]) -> PreemptionSearch:
        """The search for victims among these workloads alone: every preemptor that uses it may
        evict any of them."""
        if ids not in self._among:
            self._capacity.budget.spent += len(self._capacity.ids) // 8 + 4 * len(ids)
            left = (self._left[id_] for id_ in sorted(ids) if id_ in self._left)
            candidates = Candidates(self._capacity, left)
            self._among[ids] = PreemptionSearch(self._capacity, candidates), candidates
        return self._among[ids][0]

    def evict(self, victim: Candidate) -> None:
        victim = self._left.pop(victim.id)
        for ids, (_, among) in self._among.items():
            if victim.id in ids:
                among.evict(victim)
        for (patient, below), (_, candidates) in self._made.items():
            if victim.is_exempt and not patient:
                continue
            if below is None:
                candidates.evict(victim)
            elif victim.value < below:
                candidates.evict(replace(victim, value=self._one_tier))
