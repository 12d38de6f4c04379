"""Deployments, and what happens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.following import ENDED, lines, wait
from mlops.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mlops.calls import Rows
    from mlops.models.answers import Explanation, SubmitWarning
    from mlops.models.reasons import Allocation, Eta, Reason
    from mlops.records import Caller


class Deployment(Record):
    """What a user wants to run. Rows of a list lack some of the fields."""

    id: str
    name: str
    labels: dict[str, Any]
    rerun_of: str | None
    rerun_of_name: str | None
    sweep_id: str | None
    sweep: str | None
    sweep_index: int | None
    cluster_id: str
    cluster: str
    organization_id: str
    organization: str
    owner_id: str
    owner: str
    image: str
    image_digest: str
    command: list[str]
    args: list[str]
    env_names: list[str]
    secrets: list[Record]
    kind: str
    required_cpu: float
    required_ram: int
    required_gpu: int | str
    exclusive: bool
    given: Allocation | None
    shm_mib: int | None
    ephemeral_mib: int | None
    user: str
    workdir: str
    ulimits: dict[str, Any]
    volumes: list[Mount]
    pull_policy: str
    replicas: int
    node_selector: dict[str, Any]
    priority: str
    status: str
    reason: Reason | None
    queue_position: int | None
    eta: Eta | None
    depends_on: list[str]
    depends_on_names: list[str]
    placement: list[Placement]
    max_runtime_s: int | None
    simulated_runtime_s: float | None
    grace_s: int
    stop_signal: str | None
    pre_stop: list[str]
    checkpoint_file: str | None
    max_retries: int
    retry_on: list[str] | None
    fail_on: list[str] | None
    retry_ram_factor: float | None
    retry_ram_limit: int | None
    on_preempt: str
    readiness: Record | None
    attempt: int
    retry_count: int
    preemption_count: int
    created_at: datetime
    started_at: datetime | None
    checkpoint_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    warnings: list[SubmitWarning]

    def refresh(self) -> Deployment:
        """This deployment as it is now."""
        return self._its_client.deployments.get(self)

    def stop(self) -> Deployment:
        """Stop it; twice is fine."""
        return self._its_client.deployments.stop(self)

    def explain(self) -> Explanation:
        """Why it waits, and what would let it start now."""
        return self._its_client.deployments.explain(self)

    def rerun(self, **changes: Any) -> Deployment:
        """Submit it again, with what is to be other, in the words of a submit."""
        return self._its_client.deployments.rerun(self, **changes)

    def events(self) -> Rows[Event]:
        """Its timeline, oldest first."""
        return self._its_client.deployments.events(self)

    def wait(self, until: tuple[str, ...] = ENDED, timeout: float | None = None) -> Deployment:
        """Wait until its status is one of `until`, which all ends count as; the deployment as it
        then is. Raises TimeoutError after so many seconds."""
        return wait(self._its_client, self["id"], until, timeout)

    def logs(self, follow: bool = False, **selection: Any) -> Iterator[str]:
        """Its output, line by line; with `follow` until the attempt ends, also over connections
        that are lost. `tail`, `since`, `until`, `grep`, `replica` and `attempt` choose."""
        return lines(self._its_client, self["id"], follow, **selection)

    @property
    def ended(self) -> bool:
        return self["status"] in ENDED

    @property
    def _its_client(self) -> Caller:
        if self._client is None:
            raise TypeError("This deployment came from no client.")
        return self._client


class Placement(Record):
    """Replicas on one node; without a node in a cluster that has none."""

    node_id: str | None
    node: str | None
    replicas: int


class Event(Record):
    """One entry of a deployment's timeline."""

    at: datetime
    type: str
    actor_id: str | None
    actor: str | None
    cycle_id: str | None
    details: dict[str, Any]


class Target(Record):
    """What an event has happened to."""

    type: str
    id: str | None
    name: str | None


class FeedEvent(Event):
    """One event of an organization; `cursor` is where to go on after it."""

    actor_kind: str
    api_key: str | None
    request_id: str | None
    target: Target
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    cursor: str
    deployment_id: str | None
    name: str | None
    owner: str | None
    cluster_id: str | None
    cluster: str | None


class Peers(Record):
    """How one replica of a gang finds the others."""

    replica: int
    name: str | None
    variables: dict[str, Any]
    hostfile: str | None
    unreachable: str | None


class SecretUse(Record):
    """A start that was given a secret."""

    deployment_id: str
    name: str | None
    attempt: int
    version: int
    user_id: str
    username: str | None
    at: datetime


class Mount(Record):
    """A volume that a deployment mounts."""

    name: str
    path: str
    read_only: bool
    sub_path: str
