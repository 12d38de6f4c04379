"""The cycle's working copy of the cluster: what is free, what may be evicted, what has started."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import attrgetter

from scheduler.engine import reasons
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.drain import drain
from scheduler.engine.placement.capacity import Usable, Where
from scheduler.engine.plan import Eviction, Start
from scheduler.engine.preemption.guarantee import Guarantee, GuardedSearch, lacking
from scheduler.engine.preemption.joint import Advice, Round
from scheduler.engine.preemption.request import Elsewhere, Request, Within, with_freed
from scheduler.engine.preemption.search import PreemptionSearch
from scheduler.engine.preemption.searches import Searches
from scheduler.engine.preemption.victims import Candidate, VictimSet
from scheduler.engine.preemption.within_quota import QuotaSearch
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.reservations.current import Reservations
from scheduler.engine.reservations.delays import Delays
from scheduler.engine.reservations.ends import Ends
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import LOWER_PRIORITY, NEVER, Running, Workload
from scheduler.engine.whole_nodes.turns import VariantTurns

_weight = attrgetter("weight")


class CycleState:
    """Admits workloads one by one, in the order in which it is asked."""

    def __init__(
        self,
        view: ClusterView,
        queue: WaitingQueue,
        advice: Mapping[str, Advice] | None = None,
    ) -> None:
        """The workloads on draining nodes leave before any waiting one is looked at. `advice`, by
        workload, is which victims to prefer (joint.py)."""
        snapshot = view.snapshot
        self.capacity = view.cluster.capacity.copy()
        self.budget = self.capacity.budget
        if snapshot.most_steps:
            self.budget.exact, self.budget.most = snapshot.most_steps // 2, snapshot.most_steps
        self.starts: list[Start] = []
        self.admitted: list[Workload] = []  # those of the starts
        self.started: set[str] = set()
        self.evictions: list[Eviction] = []
        self.victims: list[Candidate] = []  # the evictions for others, in their order
        self.preemptors = 0
        self.rounds: list[Round] = []  # the highest priority value first
        self.reconsidered: frozenset[str] = frozenset()  # the victims of plans that were not kept
        self._advice = advice or {}
        self.started_long_running = False
        self.usage = view.cluster.usage.copy() if snapshot.by_owner or snapshot.sweeps else None
        self.guarantee: Guarantee | None = None  # where the policy has a share
        if snapshot.policy.low_share_percent:
            self.guarantee = Guarantee(snapshot, view.cluster.classes)
        self._long_running = view.running.long_running.copy()
        self._snapshot = snapshot
        self._classes = view.cluster.classes
        self._searches: Searches | None = None
        self._ends = Ends(snapshot, self.capacity, self._classes)
        self.delays: Delays | None = None  # where the policy has a delay
        if snapshot.policy.preemption_delay_s:
            self.delays = Delays(snapshot, self.capacity, self._classes)
        self._freed: list[int] = []  # bins in which the last victims were
        self._kept_back: set[str] = set()  # scheduling keys: refused while something bound them
        self._gated: set[str] = set()  # scheduling keys: refused for a quota or their sweep
        self._running: dict[str, Running] = {}
        if self.usage is not None:
            self._running = {each.id: each for each in snapshot.running}
        if leaving := view.running.leaving:
            self._drain_nodes(leaving)
        self.reservations = Reservations(
            snapshot,
            queue,
            self.capacity,
            classes=self._classes,
            usage=self.usage,
            long_running=self._long_running,
            started=self.started,
            ends=self._ends,
            delays=self.delays,
        )
        self.variants: VariantTurns | None = None  # where any workload takes whole nodes
        if queue.variants:
            self.variants = VariantTurns(
                queue.variants,
                may_have=lambda each: self.usage is None or not self._is_gated(each, self.usage),
                waits=lambda each: self.delays is not None and self.delays.has(each),
                actions=(self._place, self._price, self._preempt),
            )

    def _drain_nodes(self, leaving: Iterable[Running]) -> None:
        for running in leaving:
            for at, count in self.capacity.bins_of(running.placement):
                self.capacity.release(at, running.request.times(count))
            if self.usage is not None:
                self.usage.shrink(running)
            self._long_running.evicted(running.id)
            self._ends.gone.add(running.id)
            if self.delays is not None:
                self.delays.drained(running.id)
            if self.guarantee is not None:
                self.guarantee.left(running.id)
            self.evictions.append(drain(self._snapshot, running))

    def admit(self, workload: Workload) -> bool:
        """Place the workload in free capacity, else in that of its victims. False if neither can
        be: then nothing has changed, and its equals need not be tried, except the workload that
        capacity is reserved for, and those behind one that waits for time limits."""
        if self.variants is not None and workload.variant_of is not None:
            if self.variants.admit(workload, len(self.starts)):
                return True
            if self.variants.is_delayed(workload):
                return False
        if self.usage is not None and self._is_gated(workload, self.usage):
            if self._preempt_within_quota(workload, self.usage):
                return True
            if self.delays is None or not self.delays.has(workload):
                self.reservations.forget_promise(workload)
                self._gated.add(workload.scheduling_key)
            return False
        if self._place(workload) or self._preempt(workload):
            return True
        if self.delays is not None and self.delays.has(workload):
            return False
        self.reservations.refuse(workload)
        if self.reservations.usable(workload) is not None:
            self._kept_back.add(workload.scheduling_key)
        return False

    def _price(self, workload: Workload) -> tuple[int, int] | None:
        if not self._may_preempt(workload) or self.budget.spent > self.budget.most:
            return None
        search, candidates = self.victim_searches().of(workload)
        with candidates.sparing(self.reservations.promised_bins(workload)):
            victim_set = search.cheapest(self._ask(workload))
        return None if victim_set is None else victim_set.price

    def _ask(self, workload: Workload) -> Request:
        reservations = self.reservations
        usable, promised = reservations.usable(workload), reservations.promised_bins(workload)
        if usable is not None and promised:
            usable = Elsewhere(usable, promised)
        packed = workload.replicas > 1 and self.capacity.packs
        asked = (workload.request, workload.replicas, workload.selector)
        return Request(*asked, reservations.value(workload), usable, packed=packed)

    def _is_gated(self, workload: Workload, usage: OwnerUsage) -> bool:
        """Whether a quota or a sweep leaves too little for the workload: it is passed over."""
        return usage.over(workload, self.reservations.reserved_quota(workload))

    def fits(self, workload: Workload, usable: Usable | None = None) -> Where | None:
        return self.capacity.place(workload.request, workload.replicas, workload.selector, usable)

    def _place(self, workload: Workload) -> bool:
        where = self._advised(workload) if self._advice else None
        where = where or self.fits(workload, self.reservations.usable(workload))
        if where is not None:
            self._start(workload, where)
        return where is not None

    def _advised(self, workload: Workload) -> Where | None:
        """Where it fits in the bins that it is to prefer."""
        advice = self._advice.get(workload.id)
        if advice is None or not advice.bins:
            return None
        usable = self.reservations.usable(workload) or self.capacity.free.__getitem__
        return self.fits(workload, Within(usable, advice.bins))

    def worth_another_look(self, workload: Workload) -> bool:
        """Whether a refused workload may start now: it fits in what the last victims have freed
        beyond need, or in what is no longer reserved, or might evict there; or the quota or sweep
        for which it was refused allows it now; or time limits no longer promise it a place."""
        if self.delays is not None and self.reservations.has_lost_promise(workload):
            return True
        if self.usage is not None and workload.scheduling_key in self._gated:
            gated = self._is_gated(workload, self.usage)
            if gated and not self._could_preempt_its_own(workload, self.usage):
                return False
            self._gated.remove(workload.scheduling_key)
            return True
        free, request = self.capacity.free, workload.request
        kept_back = workload.scheduling_key in self._kept_back
        if not kept_back and not any(request.fits_in(free[at]) for at in self._freed):
            return False
        if self.fits(workload, self.reservations.usable(workload)) is not None:
            return True
        return kept_back and self._may_preempt(workload)

    def _could_preempt_its_own(self, workload: Workload, usage: OwnerUsage) -> bool:
        """Whether victims among its owner's workloads might make room in the owner's quota. What is
        reserved of it for another workload is not made up for by victims, nor is a full sweep."""
        if self._snapshot.policy.preemption_within_quota == NEVER or usage.sweeps.is_full(workload):
            return False
        if self.reservations.reserved_quota(workload) != ZERO:
            return False
        return self._may_preempt(workload)

    def _preempt_within_quota(self, workload: Workload, usage: OwnerUsage) -> bool:
        """Place a workload that is over its owner's quota in the capacity of its victims, of which
        enough are the owner's."""
        if not self._could_preempt_its_own(workload, usage):
            return False
        return self._preempt(workload, usage.shortfall(workload))

    def _preempt(self, workload: Workload, short: Resources = ZERO) -> bool:
        """`short` is what the owner's quota lacks."""
        if not self._may_preempt(workload) or not self._snapshot.running:
            return False
        if self.budget.spent > self.budget.most:
            return False
        promised, ask = self.reservations.promised_bins(workload), self._ask(workload)
        usable, below = ask.usable, ask.below
        delays, relied_on = self.delays, None
        if delays is not None:
            relied_on = self._relied_on(delays, workload, below)
        search, candidates = self.victim_searches().of(workload, relied_on)
        with candidates.sparing(promised):
            if delays is not None and self._waits_whatever_its_victims(
                workload, ask, search, short
            ):
                return False
            quota = None
            if short != ZERO:
                quota = QuotaSearch(
                    self.capacity,
                    search,
                    candidates,
                    ask,
                    owner=workload.owner,
                    short=short,
                    barred=promised,
                )
            advised: VictimSet | None = None
            if self._advice and quota is None and relied_on is None:
                advised = self._advised_victims(workload, ask)
            victim_set, alternative = advised, None
            if victim_set is None:
                victim_set = search.cheapest(ask) if quota is None else quota.cheapest()
            lacks = [] if self.guarantee is None else lacking(workload, self.capacity, short)
            if victim_set is not None and self.guarantee is not None:
                guarded = GuardedSearch(self.guarantee, self.capacity, candidates, ask, lacks)
                if not guarded.allows(victim_set):  # those for a quota are taken or left
                    victim_set = None if quota else guarded.cheapest(self.victim_searches())
            if victim_set is None:
                return False
            if delays is not None:
                deadline_ms = delays.deadline_ms(workload, victim_set.victims)
                if self.reservations.wait_for_limits(workload, deadline_ms, short):
                    return False
            if advised is None:
                dearest = max(victim_set.victims, key=_weight)
                if quota is None:
                    alternative = search.cheapest_without(dearest, ask)
                else:
                    alternative = quota.cheapest_without(dearest)
                if alternative is not None and self.guarantee is not None:
                    allowed = self.guarantee.allows(alternative.victims, lacks)
                    alternative = alternative if allowed else None
        if not self.rounds or below < self.rounds[-1].value:
            free = self.capacity.free.copy()
            self.rounds.append(Round(below, free, len(self.starts), len(self.victims)))
        self.preemptors += 1
        withheld = self.reservations.withheld(usable)
        usable = with_freed(usable, victim_set.victims)
        for victim in victim_set.victims:
            self._evict(victim, workload, for_quota=quota is not None)
        where = self.fits(workload, usable)
        if where is None:
            raise AssertionError(f"the victims of {workload.id} freed too little for it")
        self._start(workload, where, victim_set, alternative, withheld, jointly=advised is not None)
        self._freed = sorted({at for victim in victim_set.victims for at, _ in victim.frees})
        return True

    def _relied_on(self, delays: Delays, workload: Workload, value: int) -> frozenset[str] | None:
        """The ids of those that it may not evict, as promises that bind it rely on their ends: None
        if none binds it."""
        left = delays.binding(workload, value)
        if left is None:
            return None
        searches = self.victim_searches()
        return delays.relied_on(
            left.of_endless(),
            searches.could_evict(workload),
            patient=searches.is_patient(workload),
        )

    def _waits_whatever_its_victims(
        self, workload: Workload, ask: Request, search: PreemptionSearch, short: Resources
    ) -> bool:
        """Whether time limits promise it its place before its deadline, which no victim's exempt
        time decides: then these need not be searched for."""
        policy = self._snapshot.policy
        deadline_ms = workload.queued_ms + policy.preemption_delay_s * 1000
        if policy.preempt_exempt_s or deadline_ms <= self._snapshot.now_ms:
            return False
        if short != ZERO or not search.is_possible(ask):
            return False
        return self.reservations.wait_for_limits(workload, deadline_ms)

    def _advised_victims(self, workload: Workload, ask: Request) -> VictimSet | None:
        """The cheapest of the victims that it is to prefer: in the bins that it is to prefer, else
        in any. None if these are not enough, or none are to be preferred. A gang looks in all bins,
        and so does one whose victims are in several: it may need fewer with what is free there."""
        advice = self._advice.get(workload.id)
        if advice is None:
            return None
        search = self.victim_searches().among(advice.victims)
        usable, found = ask.usable or self.capacity.free.__getitem__, None
        if advice.bins and workload.replicas == 1:
            found = search.cheapest(replace(ask, usable=Within(usable, advice.bins)))
        if found is None or any(len(victim.frees) > 1 for victim in found.victims):
            found = search.cheapest(ask)
        return None if found is None else replace(found, proved=advice.proved and found.proved)

    def _start(
        self,
        workload: Workload,
        where: Where,
        victim_set: VictimSet | None = None,
        alternative: VictimSet | None = None,
        withheld: tuple[tuple[str | None, Resources], ...] = (),
        *,
        jointly: bool = False,
    ) -> None:
        if self.reservations.backfill is not None:
            self.reservations.backfill.record_start(workload, where)
        for at, replicas in where:
            self.capacity.allocate(at, workload.request.times(replicas))
        if self.usage is not None:
            self.usage.grow(workload)
        self.started.add((workload.variant_of or workload).id)
        if self.variants is not None:
            self.started.update(each.id for each in self.variants.of(workload))
        self.admitted.append(workload)
        self.started_long_running |= workload.endless
        if workload.limit_s is not None:
            ends_ms = self._snapshot.now_ms + workload.limit_s * 1000
            self._ends.begun.append((ends_ms, where, workload.request))
        self.starts.append(
            Start(
                workload_id=(workload.variant_of or workload).id,
                placement=self.capacity.placement(where),
                victims=tuple(v.id for v in victim_set.victims) if victim_set else (),
                proved=victim_set.proved if victim_set else True,
                alternative=tuple(v.id for v in alternative.victims) if alternative else (),
                alternative_cost=sum(v.cost for v in alternative.victims) if alternative else 0,
                withheld=withheld,
                jointly=jointly,
                given=None if workload.variant_of is None else workload.request,
            )
        )
        if self.guarantee is not None:
            self.guarantee.started(workload)
        if self.delays is not None:
            self.delays.started(workload, where)
        self.reservations.update_after_start(evicted=victim_set is not None)

    def _evict(self, victim: Candidate, preemptor: Workload, *, for_quota: bool) -> None:
        for at, amount in victim.frees:
            self.capacity.release(at, amount)
        if self.usage is not None:
            self.usage.shrink(self._running[victim.id])
        self._long_running.evicted(victim.id)
        self._ends.gone.add(victim.id)
        if self.guarantee is not None:
            self.guarantee.left(victim.id)
        if self.delays is not None:
            self.delays.evicted(victim)
        self.victim_searches().evict(victim)
        self.victims.append(victim)
        reason = reasons.preempted(
            (preemptor.variant_of or preemptor).id,
            preemptor.priority,
            victim.lost_ms,
            for_quota=for_quota and victim.owner == preemptor.owner,
        )
        self.evictions.append(
            Eviction(
                victim.id,
                reason,
                (preemptor.variant_of or preemptor).id,
                victim.lost_ms,
                victim.cost,
            )
        )

    def victim_searches(self) -> Searches:
        if self._searches is None:
            self._searches = Searches(self._snapshot, self.capacity, self._classes)
        return self._searches

    def _may_preempt(self, workload: Workload) -> bool:
        policy = self._snapshot.policy
        return policy.preemption == LOWER_PRIORITY and self._classes[workload.priority].may_preempt
