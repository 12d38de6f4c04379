"""How much of a cluster, or of a node, is allocated, in figures and words."""

from dataclasses import dataclass

from clusters.models import Cluster, Node
from mlops_platform.admin.markup import GIB, figure
from mlops_platform.api.fields import cores
from mlops_platform.api.resources import RESOURCES, Amounts


@dataclass(frozen=True)
class Amount:
    """How much of a resource is allocated."""

    resource: str
    used: float
    total: float
    text: str


def amounts_of(whole: Cluster | Node) -> tuple[Amount, ...]:
    """GPUs first, where it has some."""
    prefix = "total_" if isinstance(whole, Cluster) else ""
    used = Amounts(*(getattr(whole, f"allocated_{name}") for name in RESOURCES))
    total = Amounts(*(getattr(whole, f"{prefix}{name}") for name in RESOURCES))
    gpus = Amount("GPU", used.gpu, total.gpu, f"{used.gpu} of {total.gpu} GPUs")
    has, of = cores(used.cpu_milli), cores(total.cpu_milli)
    cpu = Amount("CPU", has, of, f"{figure(has)} of {figure(of)} cores")
    memory = Amount("RAM", used.ram_mib, total.ram_mib, _of_memory(used.ram_mib, total.ram_mib))
    return (gpus, cpu, memory) if total.gpu else (cpu, memory)


def _of_memory(used_mib: int, total_mib: int) -> str:
    """In one unit: `145.5 of 768 GiB`."""
    if total_mib < GIB:
        return f"{used_mib} of {total_mib} MiB"
    return f"{figure(used_mib / GIB)} of {figure(total_mib / GIB)} GiB"
