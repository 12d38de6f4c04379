"""Kubernetes' quantities ("500m", "1.5Gi", "2e3"), exactly.

The syntax is that of `apimachinery/pkg/api/resource`: a decimal number, then a suffix of powers of
two or of ten, or an exponent. "1E" is an exa and "1E3" a thousand.
"""

import re
from fractions import Fraction
from math import ceil

MIB = 2**20

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|)([eE](?P<exponent>[+-]?\d+))?",
    re.ASCII,
)
_TENS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FACTORS = {suffix: Fraction(10) ** power for suffix, power in _TENS.items()} | {
    f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", start=1)
}
_LARGEST_EXPONENT = 30  # beyond it a few characters would become millions of digits


def quantity(text: str | int | float) -> Fraction:
    """Raises ValueError for text that is no quantity."""
    match = _QUANTITY.fullmatch(str(text).strip())
    exponent = int(match["exponent"] or 0) if match else 0
    if not match or abs(exponent) > _LARGEST_EXPONENT or (match["suffix"] and match["exponent"]):
        raise ValueError(f"no quantity: {str(text)[:40]!r}")
    return Fraction(match["number"]) * _FACTORS[match["suffix"]] * Fraction(10) ** exponent


def cpu_milli(text: str | int | float) -> int:
    """Rounded up, as the kube-scheduler counts it."""
    return ceil(quantity(text) * 1000)


def whole(text: str | int | float) -> int:
    """Bytes of memory or a number of devices, rounded up."""
    return ceil(quantity(text))
