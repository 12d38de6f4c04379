"""The engine's score (engine/order.py) as SQL, with the engine's weights. A test compares both."""

from scheduler.engine.queue.order import CPU_WEIGHT, GPU_WEIGHT, RAM_WEIGHT


def request_sql(column: str, row: str = "d") -> str:
    """What all replicas of a deployment ask for; `row` is the name of its table in the query."""
    return f"({row}.{column} * {row}.replicas)"


def share_sql(amount: str, weight: int, total: str) -> str:
    """The share of the total in units of the weight, rounded down, the whole weight at most."""
    return (
        f"CASE WHEN {amount} <= 0 THEN 0 WHEN {amount} >= {total} THEN {weight}"
        f" ELSE div({weight}::numeric * {amount}, {total}) END"
    )


def score_sql(gpu: str, cpu: str, ram: str, *, row: str = "d") -> str:
    """The score of a deployment in a cluster with these totals, as numeric; larger goes first."""
    shares = (
        share_sql(request_sql("gpu", row), GPU_WEIGHT, gpu),
        share_sql(request_sql("cpu_milli", row), CPU_WEIGHT, cpu),
        share_sql(request_sql("ram_mib", row), RAM_WEIGHT, ram),
    )
    return f"({' + '.join(shares)})"
