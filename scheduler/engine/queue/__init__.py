"""The queue as the planner walks it: order, fair shares, and what waits."""
