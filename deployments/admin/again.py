"""Submits deployments again for their owners, as an operator asks for it."""

from collections import defaultdict
from collections.abc import Sequence

from rest_framework.exceptions import APIException

from accounts.models import User
from deployments.models import Deployment
from deployments.services import many

INACTIVE = "{name}: {owner} is not active"


def submit(rows: Sequence[Deployment], operator: User) -> tuple[int, list[str]]:
    """How many were submitted, and why the others were not: what an owner may not do any more, no
    operator does for them. The queries of rerun_many for each owner."""
    by_owner: dict[User, list[Deployment]] = defaultdict(list)
    refused = []
    for row in rows:
        if row.owner.is_active:
            by_owner[row.owner].append(row)
        else:
            refused.append(INACTIVE.format(name=row.name, owner=row.owner))
    submitted = 0
    for owner, own in by_owner.items():
        try:
            done = many.rerun_many(owner, own, dry_run=False, actor=operator)
        except APIException as refusal:  # the queue has no room for all of them
            refused += [f"{row.name}: {refusal.detail}" for row in own]
        else:
            submitted += len(done.submitted)
            refused += [f"{each.name}: {each.detail}" for each in done.refused]
    return submitted, refused
