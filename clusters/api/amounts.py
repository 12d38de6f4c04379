"""The fields in which a body gives CPU, RAM and GPUs, with the least and the most of each.

CPU comes in cores and is kept in millicores (`…cpu_milli`), RAM comes in MiB (`…ram_mib`). Both
are taken as texts with a unit too: "500m", "16Gi".
"""

from typing import Any

from clusters.models import MAX_CPU_MILLI, MAX_GPU, MAX_RAM_MIB
from mlops_platform.api.fields import Cores, Mebibytes, WholeNumber


def cpu_field(source: str = "cpu_milli", *, least: int = 1, **kwargs: Any) -> Cores:
    """`least` is in millicores."""
    return Cores(source=source, min_milli=least, max_milli=MAX_CPU_MILLI, **kwargs)


def ram_field(source: str = "ram_mib", *, least: int = 1, **kwargs: Any) -> Mebibytes:
    """`least` is in MiB."""
    return Mebibytes(source=source, min_value=least, max_value=MAX_RAM_MIB, **kwargs)


def gpu_field(source: str | None = None, **kwargs: Any) -> WholeNumber:
    """No source: the column has the field's own name."""
    return WholeNumber(source=source, min_value=0, max_value=MAX_GPU, **kwargs)
