"""CPU, RAM and GPUs: their columns, public names and units, defined once.

Columns count millicores, MiB and whole GPUs; the API shows CPU in cores. The engine has Resources
of its own, for it imports nothing else of the project.
"""

from typing import NamedTuple

from mlops_platform.api.fields import cores


class Amounts(NamedTuple):
    """Millicores, MiB and GPUs."""

    cpu_milli: int = 0
    ram_mib: int = 0
    gpu: int = 0


RESOURCES = Amounts._fields
PUBLIC_NAMES = {"cpu_milli": "cpu", "ram_mib": "ram", "gpu": "gpu"}
UNITS = {  # of one, and of any other number
    "cpu_milli": ("CPU core", "CPU cores"),
    "ram_mib": ("MiB of RAM", "MiB of RAM"),
    "gpu": ("GPU", "GPUs"),
}


def public_amount(resource: str, amount: int) -> int | float:
    """The amount in the API's unit: cores for CPU."""
    return cores(amount) if resource == "cpu_milli" else amount


def amount_in_words(resource: str, amount: int) -> str:
    """`2 GPUs`, `1.5 CPU cores`, `512 MiB of RAM`."""
    number = public_amount(resource, amount)
    one, many = UNITS[resource]
    return f"{number} {one if number == 1 else many}"
