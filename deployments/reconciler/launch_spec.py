"""From a row to what its runtime is told."""

from collections.abc import Sequence

from clusters.models import Cluster, Node
from clusters.models import Sandbox as SandboxRow
from deployments.models import Deployment
from deployments.runtimes.base import LaunchSpec, Place, Probe, Sandbox


class Launcher:
    """What all launches in a cluster have in common. One query."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        row = SandboxRow.objects.filter(cluster=cluster).first()
        self._sandbox = Sandbox() if row is None else sandbox_of(row)

    def launch(self, row: Deployment, node: Node, replicas: Sequence[int]) -> LaunchSpec:
        return LaunchSpec(
            deployment_id=str(row.pk),
            attempt=row.attempt,
            places=[Place(number, node.name) for number in replicas],
            name=row.name,
            image=row.image,
            cpu_milli=row.cpu_milli,
            ram_mib=row.ram_mib,
            gpu=row.gpu,
            command=row.command,
            args=row.args,
            env={
                **row.env,
                "MLOPS_DEPLOYMENT_ID": str(row.pk),
                "MLOPS_ATTEMPT": str(row.attempt),
                "MLOPS_REPLICAS": str(row.replicas),
            },
            grace_s=row.grace_s,
            probe=probe_of(row),
            labels={
                "organization": str(self._cluster.organization_id),
                "owner": str(row.owner_id),
            },
            sandbox=self._sandbox,
        )


def probe_of(row: Deployment) -> Probe | None:
    if row.readiness is None:
        return None
    told = {name: value for name, value in row.readiness.items() if name != "within_s"}
    return Probe(**{**told, "command": tuple(told.get("command", ()))})


def sandbox_of(row: SandboxRow) -> Sandbox:
    return Sandbox(
        pids_limit=row.pids_limit,
        add_capabilities=tuple(row.add_capabilities),
        allow_privilege_escalation=row.allow_privilege_escalation,
        read_only_root=row.read_only_root,
        network=row.network,
    )
