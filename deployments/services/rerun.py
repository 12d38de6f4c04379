"""Runs a deployment again: a new one that asks for the same, but for what a caller changes.

The platform has what a client cannot know: the values of `env`. Secrets are named, not copied: a
person's are those of the caller.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from accounts.models import User
from deployments.models import Deployment, Status
from deployments.queries.dependencies import Dependency
from deployments.services import submit
from deployments.services.drafting import program, whole_nodes

COLUMNS = (
    *("name", "labels", "image", "command", "args", "volumes", "secrets", "kind"),
    *("cpu_milli", "ram_mib", "gpu", "replicas", "node_selector", "max_runtime_s", "grace_s"),
    *("max_retries", "on_preempt", "readiness"),
)
WITHIN = ("container", "retry")  # columns of which a caller changes parts
OF_NO_PROGRAM = frozenset(
    {
        *("name", "labels", "cpu_milli", "ram_mib", "gpu", "exclusive", "replicas"),
        *("node_selector", "max_runtime_s", "simulated_runtime_s", "grace_s", "max_retries"),
        *("retry", "on_preempt", "depends_on", "confirm"),
    }
)
"""What changes nothing of what runs, nor of where its output goes."""


class Again(NamedTuple):
    """What to submit."""

    spec: dict[str, Any]
    priority: str


def rerun(
    user: User,
    deployment: Deployment,
    overrides: Mapping[str, Any],
    *,
    priority: str | None = None,
    needed: Sequence[Dependency] = (),
    idempotency_key: str | None = None,
) -> submit.Submission:
    """Submit it again, as `create_deployment` does, and raise what that raises.

    403 where its environment is another user's, and would be given to another program.
    """
    again = again_of(user, deployment, overrides, priority=priority, needed=needed)
    return submit.create_deployment(
        user,
        deployment.cluster_id,
        again.spec,
        priority=again.priority,
        idempotency_key=idempotency_key,
    )


def again_of(
    user: User,
    row: Deployment,
    overrides: Mapping[str, Any],
    *,
    priority: str | None = None,
    needed: Sequence[Dependency] = (),
) -> Again:
    """`overrides` are columns, and of `env` the variables that change. `needed` is what it depends
    on: what has completed need not complete again."""
    if overrides.keys() - OF_NO_PROGRAM:
        program.refuse_stranger_to(row, user, also_secrets=False)
    spec: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS}
    if row.whole:
        spec |= whole_nodes.asked_by(row)
    spec["simulated_runtime_s"] = row.simulated_for_s
    spec["env"] = program.merged(program.values_of(row), overrides.get("env", {}))
    pending = [str(each.id) for each in needed if each.status != Status.COMPLETED]
    spec["depends_on"] = sorted(pending)
    for name in WITHIN:
        spec[name] = {**getattr(row, name), **overrides.get(name, {})}
    spec |= {name: value for name, value in overrides.items() if name not in ("env", *WITHIN)}
    if (
        "retry" not in overrides
        and spec["retry"].get("ram_limit_mib", spec["ram_mib"]) <= (spec["ram_mib"])
    ):  # it has grown to the limit
        spec["retry"] = {
            name: value for name, value in spec["retry"].items() if not name.startswith("ram_")
        }
    spec["rerun_of_id"] = str(row.pk)
    whose = program.env_owner_of(row)
    if whose not in (None, user.pk):
        spec["env_owner_id"] = str(whose)
    return Again(spec, priority or row.priority_class.name)
