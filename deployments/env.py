"""A deployment's environment as its row keeps it: the names in order, then what seals the values.

`["SEED", "TOKEN", "gAAAA…"]`, and `[]` for none. Names are shown to members, so lists need no key.
Rows of earlier versions have `{name: value}`. An earlier version, of which a process may still run
during an upgrade, cannot read the list and starts nothing with it.
"""

from collections.abc import Mapping
from typing import Any

from mlops_platform import sealing


def sealed(values: Mapping[str, str]) -> list[str]:
    """What the column keeps of these values."""
    return [*sorted(values), sealing.seal(values)] if values else []


def unsealed(env: Any) -> dict[str, str]:
    """The values by name; raises sealing.Unsealable, which contains none of them."""
    if isinstance(env, Mapping):
        return dict(env)
    *names, values = env or [""]
    opened = sealing.unseal(values)
    return {name: opened.get(name, "") for name in names}  # seal() leaves empty values out


def resealed(env: Any) -> Any:
    """The column under the first key; unchanged where that key has sealed it."""
    if isinstance(env, Mapping):
        return sealed(env)
    *names, values = env
    return [*names, sealing.resealed(values)]
