"""Turns a row into the launch spec that its runtime starts."""

from collections.abc import Sequence
from dataclasses import replace

from clusters.models import Cluster, Node
from clusters.models import Sandbox as SandboxRow
from deployments.env import unsealed
from deployments.models import Deployment
from deployments.queries.peers import peers_of, why_unreachable
from deployments.reconciler.starts.bucket_fetches import fetch_of
from deployments.reconciler.starts.mounts import Mounts
from deployments.reconciler.starts.secret_values import SecretValues
from deployments.runtimes.base import Container, LaunchSpec, Probe, ReplicaPlacement, Sandbox

UNLIMITED = -1
NOT_OF_PROBE = ("within_s", "liveness")  # the reconciler reads them


class LaunchSpecs:
    """Makes the launch specs of these rows of one cluster. One query, for its sandbox, and one more
    each for its volumes and for secrets, where the rows name any."""

    def __init__(self, cluster: Cluster, rows: Sequence[Deployment]) -> None:
        self._cluster = cluster
        self._mounts = Mounts(cluster, rows)
        self.secrets = SecretValues(cluster.organization_id, rows, self._mounts.volumes)
        row = SandboxRow.objects.filter(cluster=cluster).first()
        self._sandbox = Sandbox() if row is None else _sandbox(row)

    def of(self, row: Deployment, placed: Sequence[tuple[int, Node]]) -> LaunchSpec:
        """For the replicas of the row that are placed at one endpoint, by number and node. Raises
        sealing.Unsealable where no key opens its environment, RefusedError for a volume that is
        gone, and NoSecret for a secret that is gone, or that no key opens."""
        keys = self.secrets.keys_of_buckets(row)
        fetch = fetch_of(row, self._mounts.volumes, keys)
        secrets = self.secrets.of(row)
        if fetch is not None:
            secrets = replace(secrets, document=fetch.document())
        return LaunchSpec(
            deployment_id=str(row.pk),
            attempt=row.attempt,
            placement=[ReplicaPlacement(number, node.name) for number, node in placed],
            name=row.name,
            image=row.image,
            cpu_milli=row.cpu_milli,
            ram_mib=row.ram_mib,
            gpu=row.gpu,
            command=row.command,
            args=row.args,
            env={
                **unsealed(row.env),
                "MLOPS_DEPLOYMENT_ID": str(row.pk),
                "MLOPS_ATTEMPT": str(row.attempt),
                "MLOPS_REPLICAS": str(row.replicas),
                "MLOPS_GPUS": str(row.gpu),
                **_of_sweep(row),
            },
            grace_s=row.grace_s,
            probe=_probe(row),
            labels={
                "organization": str(self._cluster.organization_id),
                "owner": str(row.owner_id),
            },
            sandbox=self._sandbox,
            container=_container(row),
            mounts=self._mounts.of(row),
            secrets=secrets,
            fetch=fetch,
            peers=peers_of(row, self._cluster, self._sandbox.network),
        )

    def why_unreachable(self, row: Deployment) -> str:
        """Why no network connects the replicas of a gang, as a sentence; empty where one does."""
        return why_unreachable(row, self._cluster, self._sandbox.network)


def _of_sweep(row: Deployment) -> dict[str, str]:
    if row.sweep_index is None:
        return {}
    return {"MLOPS_INDEX": str(row.sweep_index), "MLOPS_SWEEP_ID": str(row.sweep_id or "")}


def _container(row: Deployment) -> Container:
    limits = row.container.get("ulimits", {})
    as_numbers = {name: UNLIMITED if each == "unlimited" else each for name, each in limits.items()}
    return Container(**{**row.container, "ulimits": as_numbers})


def _probe(row: Deployment) -> Probe | None:
    if row.readiness is None:
        return None
    given = {name: value for name, value in row.readiness.items() if name not in NOT_OF_PROBE}
    return Probe(**{**given, "command": tuple(given.get("command", ()))})


def _sandbox(row: SandboxRow) -> Sandbox:
    return Sandbox(
        pids_limit=row.pids_limit,
        add_capabilities=tuple(row.add_capabilities),
        allow_privilege_escalation=row.allow_privilege_escalation,
        read_only_root=row.read_only_root,
        network=row.network,
    )
