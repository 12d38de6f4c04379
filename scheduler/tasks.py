"""The Celery tasks: a cluster's cycle, the sweep for what was missed, the retention."""

from functools import partial
from uuid import UUID

from celery import shared_task

from clusters.services.clusters import refuse_locked
from scheduler import audits, cycle, impossible, long_cycles, metrics, queries, wakeup
from scheduler.home import growth
from scheduler.models import Trigger
from scheduler.queues import queue_check, queue_sync
from scheduler.retention import turn
from scheduler.start_times import turns as start_times
from scheduler.timer import jobs


@shared_task(name="scheduler.tasks.schedule_cluster")
def schedule_cluster(cluster_id: str) -> None:
    """Run one cycle, unless another worker is at work or has answered already.

    A cluster whose cycles take long waits for its turn. Order: lock, (begin, read, decide, check,
    apply, record, commit), unlock, and a last look at the flag. A cluster to which nothing more
    happens has its Redis queues compared with the table.
    """
    cluster = UUID(cluster_id)
    with long_cycles.turn(cluster) as may_run:
        if not may_run:
            return
        trigger = wakeup.run(cluster, partial(_run, cluster))
    if trigger is not None and queue_sync.is_check_due(cluster):
        queue_sync.mend(cluster, thoroughly=trigger == Trigger.SWEEP)


def _run(cluster: UUID, trigger: Trigger, failures: int) -> None:
    """A cluster whose cycle has failed is read and planned only once its row can be locked."""
    if failures:
        refuse_locked(cluster)
    outcome = cycle.run(cluster, trigger)
    metrics.record(cluster, outcome)
    if outcome is not None:
        long_cycles.mark(cluster, outcome.load_s + outcome.plan_s + outcome.apply_s)
        if outcome.wants_another:
            wakeup.set_flag(cluster, Trigger.CONTINUED)


@shared_task(name=jobs.RUN)
def run_job(name: str) -> None:
    """Run one of the timer's periodic jobs."""
    jobs.run(name)


@shared_task(name="scheduler.tasks.sweep")
def sweep() -> None:
    """Ask for the cycles that Redis lost: whatever changed and has not been looked at since."""
    for cluster_id in queries.overlooked_clusters():
        wakeup.request_cycle(cluster_id, Trigger.SWEEP, again=True)


@shared_task(name="scheduler.tasks.look_for_unanswered", ignore_result=True)
def look_for_unanswered() -> None:
    """Ask for the cycles of the last minute that Redis, or a killed process, has lost."""
    for cluster_id in queries.unanswered_clusters():
        wakeup.request_cycle(cluster_id, Trigger.SWEEP)


@shared_task(name="scheduler.tasks.check_queues", ignore_result=True)
def check_queues() -> None:
    """Mend Redis queues that no cycle looks at."""
    queue_check.check_some()


@shared_task(name="scheduler.tasks.fail_impossible", ignore_result=True)
def fail_impossible() -> None:
    """Fail what could never run for as long as its cluster lets such deployments wait."""
    impossible.fail_all()


@shared_task(name=turn.TASK)
def forget_old() -> None:
    """Delete some of what has been kept long enough."""
    turn.take_turn()


@shared_task(name="scheduler.tasks.request_retention")
def request_retention() -> None:
    """Ask the runtimes workers for it, which have time."""
    turn.request()


@shared_task(name=audits.TASK, ignore_result=True)
def run_audit() -> None:
    """Check the invariants, for the operators' home."""
    audits.run()


@shared_task(name="scheduler.tasks.request_audit", ignore_result=True)
def request_audit() -> None:
    """Ask the runtimes workers for it, which have time."""
    audits.request()


@shared_task(name="scheduler.tasks.measure_database", ignore_result=True)
def measure_database() -> None:
    """Record the size of the database."""
    growth.measure()


@shared_task(name=start_times.TASK, ignore_result=True)
def forecast_starts() -> None:
    """Forecast when what waits will start, in some of the clusters that want it."""
    start_times.take_turn()


@shared_task(name="scheduler.tasks.request_forecasts", ignore_result=True)
def request_forecasts() -> None:
    """Ask the runtimes workers for it, which have time."""
    start_times.request()
