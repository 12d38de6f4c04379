"""One pass over one cluster, on one screen."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from clusters.models import Cluster, Runtime, State
from clusters.services.clusters import delete_cluster
from deployments.models import ENDED, HOLDING, Deployment, Status
from deployments.reconciler import actions, garbage, node_reports, status_writer
from deployments.reconciler.actions import Pull
from deployments.reconciler.assessment import Outcome, assess
from deployments.reconciler.observation import Observation
from deployments.wakeup import EVERYTHING

ENDING = (Outcome.COMPLETE, Outcome.FAIL, Outcome.REQUEUE, Outcome.GONE)
ROUNDS = 3  # of looking and acting, before the pass lets others go on


def reconcile(cluster_id: UUID, looks: Collection[str], pull: Pull) -> bool:
    """Bring rows and runtimes into step; True if there is more to do at once.

    Looks at what starts and stops and at the deployments in `looks`, or at all that is there.
    `pull` asks for an image to be fetched meanwhile. Does nothing in a simulated cluster.
    """
    cluster = Cluster.objects.filter(pk=cluster_id).exclude(runtime=Runtime.SIMULATED).first()
    if cluster is None:
        return False
    everything, killed = EVERYTHING in looks, set[str]()
    for number in range(ROUNDS):
        # 1. What should be: the rows that hold something, or are on their way out.
        rows = _rows(cluster, looks)
        ids = None if EVERYTHING in looks else {str(row.pk) for row in rows} | set(looks)
        if ids is not None and not ids:
            return False
        # 2. What is: every endpoint, outside of any transaction; and what nodes there are.
        site = Observation(cluster)
        site.look(ids, capacity=everything and number == 0)
        if ids is not None and site.somebody_is_back():
            looks = {EVERYTHING}  # what is left there from before has to be seen first
            continue
        node_reports.note(site)
        # 3. What has become of each attempt is written down.
        now = timezone.now()
        seen = [(row, site.replicas(row, now)) for row in rows]
        judged = [(row, assess(row, replicas, now)) for row, replicas in seen]
        turns = {row.pk: verdict.turn for row, verdict in judged}
        garbage.keep(site, [each for each in seen if turns[each[0].pk] in ENDING])
        status_writer.write(cluster_id, judged, now)
        # 4. Who is to end is told so, and what nobody wants is cleared away.
        actions.stop(site, [each for each in seen if turns[each[0].pk] == Outcome.STOP], now)
        cleared = garbage.clear(site)
        again = cleared.killed - killed  # who outlives that is the next pass's: it may take long
        killed |= again
        if everything and number == 0:
            garbage.tidy(site)
        # 5. Who is to start is started, once those who made way for it, and remains, are gone.
        waiting = [each for each in seen if turns[each[0].pk] == Outcome.LAUNCH]
        started, refused = (
            actions.launch(site, waiting, pull, cleared.remains) if waiting else ([], [])
        )
        status_writer.write(cluster_id, refused, timezone.now())
        # 6. Once more, for those started, and those of whom the rest is to be stopped now.
        looks = again | {str(row.pk) for row in started}
        looks |= {str(row.pk) for row, verdict in (*judged, *refused) if verdict.alive}
        if not looks:
            break
    else:
        return True
    if everything and cluster.state == State.DELETING:
        _delete_if_empty(cluster)
    return False


def _rows(cluster: Cluster, looks: Collection[str]) -> list[Deployment]:
    concerned = Q(status__in=HOLDING)
    if EVERYTHING not in looks:
        concerned = Q(status__in=(Status.STARTING, Status.STOPPING))
        concerned |= Q(status=Status.RUNNING, pk__in=looks)
    return list(Deployment.objects.filter(concerned, cluster=cluster).order_by("pk"))


def _delete_if_empty(cluster: Cluster) -> None:
    if not Deployment.objects.filter(cluster=cluster).exclude(status__in=ENDED).exists():
        delete_cluster(cluster, force=True)
