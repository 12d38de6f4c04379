"""The names under which submit and scheduler know the same thing."""

import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID

from deployments.models import Deployment


def key_of(deployment: Deployment) -> str:
    """`HIGH/4000/8192/1x2`: workloads of one key ask for the same with the same urgency.

    The scheduler sees no difference between them but their age, so it plans for, and explains,
    thousands of them as one. A time limit (`/t3600`) and a node selector (`/n` and a digest) follow
    where there are any.
    """
    row = deployment
    key = f"{row.priority_class.name}/{row.cpu_milli}/{row.ram_mib}/{row.gpu}x{row.replicas}"
    if row.max_runtime_s is not None:
        key += f"/t{row.max_runtime_s}"
    if row.node_selector:
        labels = json.dumps(row.node_selector, sort_keys=True)
        key += f"/n{hashlib.sha256(labels.encode()).hexdigest()[:16]}"
    return key


def submitted_at(deployment_id: UUID) -> datetime:
    """The millisecond that a UUIDv7 carries: order by id is order of submit, in table and Redis."""
    milliseconds = deployment_id.int >> 80
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
