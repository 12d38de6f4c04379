"""Stops, retries, changes and deletes whole sweeps. The caller has checked access."""

from django.db import transaction
from rest_framework.exceptions import APIException

from accounts.models import User
from deployments.house import rules
from deployments.models import Deployment, Status, Sweep
from deployments.queries.dependencies import dependencies_of
from deployments.queries.sweeps import expect_limits_in, members_of, open_members
from deployments.scheduling_key import key_of
from deployments.services import bulk, stop
from deployments.services.drafting.drafts import Draft, Order, draft_deployments
from deployments.services.rerun import again_of
from deployments.services.sweeps.recording import SETTINGS, record_sweep
from deployments.signals import deployment_stopped
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.database.row_waits import lock_row
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import columns_of, differing

AT_ONCE = 200  # members under one lock of their cluster
NOT_ENDED = "Some of its members have not ended: stop it first."


def stop_sweep(user: User, sweep: Sweep) -> int:
    """Stop the members that have not ended, and return their number. Those that wait first: what
    stops makes room, in which they would start."""
    rules.refuse_stop_of(user, sweep.owner_id, sweep.cluster_id)
    queued = open_members(sweep).filter(status=Status.QUEUED)
    stopped = 0
    for rows in (queued, open_members(sweep)):
        stopped += stop.stop(list(rows.values_list("pk", flat=True)), user, batch=AT_ONCE)
    record_sweep(sweep, Type.SWEEP_STOPPED, None, None)  # last: what is refused leaves no event
    return stopped


def retry_failed(user: User, sweep: Sweep) -> list[Deployment]:
    """Submit the members that have failed again, with their parameters and as members of the sweep,
    and return the new ones: none where none has failed. All or none, as in a bulk.

    Of two calls at the same time the second finds none that has failed.
    """
    with transaction.atomic():
        locked = lock_row(Sweep.objects.all(), sweep.pk)
        if locked is None:
            raise not_found()
        failed = members_of(locked, Status.FAILED)
        if not failed:
            return []
        drafts = _drafts_again(user, failed)
        for draft, row in zip(drafts, failed, strict=True):
            again = draft.deployment
            again.sweep, again.sweep_index = locked, row.sweep_index
            again.scheduling_key = key_of(again)
        saved = bulk.save(user, drafts, "").deployments
        record_sweep(locked, Type.SWEEP_RETRIED, None, {"members": len(saved)})
        return saved


def _drafts_again(user: User, rows: list[Deployment]) -> list[Draft]:
    needed = dependencies_of(rows)
    orders = []
    for row in rows:
        again = again_of(user, row, {}, needed=needed.get(row.pk, ()))
        orders.append(Order(row.cluster_id, again.spec, again.priority))
    try:
        return draft_deployments(user, orders)
    except APIException as error:
        if error.status_code == 400:  # what was sound at the submit is so no more
            raise Conflict("What its members ask for is refused now.", code="refused") from error
        raise


def change_sweep(sweep: Sweep, changes: dict[str, str | int | None]) -> Sweep:
    """Give it another name or limit. A lower limit stops nothing: fewer start from now on."""
    with transaction.atomic():
        locked = lock_row(Sweep.objects.all(), sweep.pk)
        if locked is None:
            raise not_found()
        before = columns_of(locked, list(changes))
        for name, value in changes.items():
            setattr(locked, name, value)
        record_sweep(locked, Type.SWEEP_CHANGED, *differing(before, changes))
        locked.save(update_fields=list(changes))
        if locked.max_parallel is not None:
            expect_limits_in(locked.cluster)
        if "max_parallel" in changes:
            deployment_stopped.send(
                Sweep,
                cluster_id=locked.cluster_id,
                deployment_ids=[],
                trigger="CHANGED",
                in_queue=False,
            )
    return locked


def delete_sweep(sweep: Sweep) -> None:
    """Forget the sweep; its members stay as deployments. 409 while any has not ended."""
    with transaction.atomic():
        locked = lock_row(Sweep.objects.all(), sweep.pk, no_key=False)
        if locked is None:
            raise not_found()
        if open_members(locked).exists():
            raise Conflict(NOT_ENDED, code="sweep_not_ended")
        record_sweep(locked, Type.SWEEP_DELETED, columns_of(locked, SETTINGS), None)
        locked.delete()
