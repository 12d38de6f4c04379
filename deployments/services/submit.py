"""Submit a deployment. Its cluster stands in the body, so access is decided here (drafts.py)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import User
from deployments import hooks
from deployments.house import rules
from deployments.lifecycle.timeline import NO_DETAILS, record_all
from deployments.models import Deployment, EventType, HouseRules
from deployments.queries.dependencies import Dependency
from deployments.services.drafting import dependencies, idempotency, secret_references, volumes
from deployments.services.drafting.drafts import draft_deployment
from deployments.services.drafting.queue_limits import refuse_too_many
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import draw_ids


class Submission(NamedTuple):
    deployment: Deployment
    replayed: bool  # an earlier submit with the same Idempotency-Key is answered
    class_names: list[str]  # every priority class, most urgent first
    dependencies: Sequence[Dependency]  # as they were at the submit


def create_deployment(
    user: User,
    cluster_id: UUID | str,
    spec: Mapping[str, Any],
    *,
    priority: str = "LOW",
    idempotency_key: str | None = None,
    quote: str | None = None,
) -> Submission:
    """Queue a deployment; post_save, or with a key deployments_submitted, wakes the scheduler.

    Raises what draft_deployment and, unless it is LOW, the house rules do, and 409 for an
    idempotency key used with another body, for a quote that no longer holds, where one of its
    dependencies has failed, or where as many are queued as may be. Seven queries, three of them
    writes in one transaction; with dependencies, three reads and a write more; with a key, or a
    priority other than LOW, a read more, and with house rules some more; each ten seconds, a read
    and a write more.
    """
    deployment, digest, class_names, needed, confirmed = draft_deployment(
        user, cluster_id, spec, priority=priority
    )
    deployment.idempotency_key = idempotency_key
    ruled = (
        deployment.priority_class.name != rules.FREE
        and HouseRules.objects.filter(organization=deployment.cluster.organization_id).exists()
    )
    asked = ruled and quote is None and not confirmed
    if asked and not (idempotency_key and idempotency.earlier(user, idempotency_key, digest, 1)):
        rules.ask_before_evicting(user, deployment, digest, needed)
    try:
        with transaction.atomic():
            [(deployment.pk, deployment.created_at)] = draw_ids(1)
            deployment.queued_at = deployment.created_at
            if idempotency_key:
                [row] = idempotency.insert([deployment], digest)
                if row is not deployment:
                    return Submission(row, True, class_names, needed)
            else:
                deployment.save(force_insert=True)
            lines = [(deployment.pk, NO_DETAILS)]
            at, cluster = deployment.created_at, deployment.cluster
            record_all(lines, EventType.SUBMITTED, at=at, actor=user, cluster=cluster)
            if needed:
                [needed] = dependencies.attach([(deployment, needed)])
                dependencies.refuse_hopeless(needed)
            if quote is not None:
                hooks.redeem_quote(deployment, digest, quote)
            if ruled:
                rules.refuse(user, [deployment])
            refuse_too_many([deployment])
            if deployment.volumes:
                volumes.keep([deployment])
            if deployment.secrets:
                secret_references.keep([deployment])
    except IntegrityError as error:
        if "cluster_id" in str(error):  # deleted since it was read
            raise not_found() from None
        raise
    return Submission(deployment, False, class_names, needed)
