"""The names under which submit and scheduler know the same thing."""

from datetime import UTC, datetime
from uuid import UUID

from deployments.models import Deployment


def scheduling_key(class_name: str, cpu_milli: int, ram_mib: int, gpu: int, replicas: int) -> str:
    """`HIGH/4000/8192/1x2`: workloads of one key ask for the same with the same urgency.

    The scheduler sees no difference between them but their age, so it plans for, and explains,
    thousands of them as one.
    """
    return f"{class_name}/{cpu_milli}/{ram_mib}/{gpu}x{replicas}"


def key_of(deployment: Deployment) -> str:
    return scheduling_key(
        deployment.priority_class.name,
        deployment.cpu_milli,
        deployment.ram_mib,
        deployment.gpu,
        deployment.replicas,
    )


def submitted_at(deployment_id: UUID) -> datetime:
    """The millisecond that a UUIDv7 carries: order by id is order of submit, in table and Redis."""
    milliseconds = deployment_id.int >> 80
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )
