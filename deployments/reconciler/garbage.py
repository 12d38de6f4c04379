"""What nobody wants any more: its output is kept, and it is cleared away. No transaction is open
here."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

from deployments.models import HOLDING, Deployment, DeploymentLog
from deployments.reconciler.observation import AT_ONCE, EndpointView, Observation, Replica
from deployments.runtimes.base import Key, Phase, Runtime, RuntimeUnavailable

logger = logging.getLogger(__name__)

KEPT_LINES, KEPT_BYTES = 5000, 256 * 1024  # of the output of each replica
MOST_KEPT = 32  # outputs in memory at once
MOST_ATTEMPTS = 20  # of a deployment, whose outputs are kept
READ = ("attempt", "status", "cpu_milli", "ram_mib", "gpu")
T = TypeVar("T")


class Cleared(NamedTuple):
    """`killed`: the ids of deployments that have to be looked at once more. `remains`: what may be
    there for a moment still, one replica each: its node's id, and its deployment."""

    killed: set[str]
    remains: list[tuple[str, Deployment]]


def clear(site: Observation) -> Cleared:
    """Remove what no row wants: what it wrote is kept first, where its deployment is known.

    Whoever is asked for here was seen before the rows are read again, so what has been launched
    meanwhile cannot be meant. One query, and another for every 32 replicas whose output is kept.
    """
    seen = list(site.sightings())
    if not seen:
        return Cleared(set(), [])
    ids = {sighting.key.deployment_id for _, sighting in seen}
    here = Deployment.objects.filter(pk__in=ids, cluster=site.cluster).only(*READ)
    rows = {str(row.pk): row for row in here}
    ended: list[Unwanted] = []
    orphans: list[Unwanted] = []
    remains: list[tuple[str, Deployment]] = []
    for view, sighting in seen:
        key = sighting.key
        row = rows.get(key.deployment_id)
        if row and row.attempt == key.attempt and row.status in HOLDING:
            continue
        unwanted = Unwanted(view, key, known=row is not None)
        if sighting.phase == Phase.ENDED:
            ended.append(unwanted)
            continue
        orphans.append(unwanted)
        node_id = site.node_at(view, sighting)
        if row and node_id:
            remains.append((node_id, row))
    with ThreadPoolExecutor(AT_ONCE, "clear") as pool:
        for start in range(0, len(ended), MOST_KEPT):
            some = ended[start : start + MOST_KEPT]
            kept = [each for each in some if each.key in site.kept]
            kept += _keep(pool, [each for each in some if each.key not in site.kept])
            list(pool.map(_remove, kept))
        killed = list(pool.map(_kill, orphans))
    ids = {each.key.deployment_id for each, done in zip(orphans, killed, strict=True) if done}
    return Cleared(ids, remains)


def tidy(site: Observation) -> None:
    """Clear away what is there besides replicas; what cannot be done keeps nobody waiting."""
    with ThreadPoolExecutor(AT_ONCE, "tidy") as pool:
        list(pool.map(_tidy, site.views.values()))


def _tidy(view: EndpointView) -> None:
    if view.runtime is not None and not view.error:
        with suppress(RuntimeUnavailable):
            view.runtime.tidy()


class Unwanted(NamedTuple):
    """A replica that is there for nobody; `known`: its deployment still is."""

    view: EndpointView
    key: Key
    known: bool


def keep(site: Observation, ending: Sequence[tuple[Deployment, list[Replica]]]) -> None:
    """Keep what they wrote before their rows say that they have ended: whoever waits for that asks
    for it next. A query for every 32 replicas that have ended."""
    ended = [
        Unwanted(view, each.sighting.key, known=True)
        for _, replicas in ending
        for each in replicas
        if each.sighting is not None
        and each.sighting.phase == Phase.ENDED
        and (view := site.view_of(each.node)) is not None
    ]
    with ThreadPoolExecutor(AT_ONCE, "keep") as pool:
        for start in range(0, len(ended), MOST_KEPT):
            kept = _keep(pool, ended[start : start + MOST_KEPT])
            site.kept.update(each.key for each in kept)


def _keep(pool: ThreadPoolExecutor, ended: Sequence[Unwanted]) -> list[Unwanted]:
    """Once each; those whose endpoint answered."""
    outputs = list(pool.map(_output, ended))
    answered = [(each, out) for each, out in zip(ended, outputs, strict=True) if out is not None]
    logs = [
        DeploymentLog(
            deployment_id=each.key.deployment_id,
            attempt=each.key.attempt,
            replica=each.key.replica,
            output=output,
        )
        for each, output in answered
        if each.known
    ]
    DeploymentLog.objects.bulk_create(logs, ignore_conflicts=True)
    for log in logs:
        if log.attempt > MOST_ATTEMPTS:  # of a service that crashes for ever
            older = DeploymentLog.objects.filter(deployment=log.deployment_id)
            older.filter(attempt__lte=log.attempt - MOST_ATTEMPTS).delete()
    return [each for each, _ in answered]


def _output(unwanted: Unwanted) -> bytes | None:
    """The last of what it wrote; None where its endpoint does not answer."""

    def read(runtime: Runtime) -> bytes:
        kept = b""
        if unwanted.known:
            for piece in runtime.logs(unwanted.key, tail=KEPT_LINES):
                kept = (kept + piece)[-KEPT_BYTES:]
        return kept

    return _ask(unwanted.view, read)


def _remove(unwanted: Unwanted) -> None:
    _ask(unwanted.view, lambda runtime: runtime.remove(unwanted.key))


def _kill(orphan: Unwanted) -> bool:
    def kill(runtime: Runtime) -> bool:
        logger.info("an orphan is killed", extra=orphan.key._asdict())
        runtime.stop(orphan.key, 0)
        return True

    return _ask(orphan.view, kill) or False


def _ask(view: EndpointView, work: Callable[[Runtime], T]) -> T | None:
    """None, without asking, once its endpoint has failed in this pass."""
    if view.runtime is None or view.error:
        return None
    try:
        return work(view.runtime)
    except RuntimeUnavailable as error:
        view.error = str(error)
        return None
