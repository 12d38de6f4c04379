"""How many random examples a property test tries.

`make test` tries a part of them, so that all tests end within some minutes, and `make properties`
all of them or more: it is for changes of the engine, and for the night.
"""

import os

SHARE = float(os.environ.get("MLOPS_EXAMPLES", "0.25"))


def examples(count: int) -> int:
    return max(round(count * SHARE), min(count, 20))
