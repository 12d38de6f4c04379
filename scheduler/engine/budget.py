"""The work that one plan may cost, in steps.

Steps and not a clock set the limits, so that a plan follows from its snapshot alone and replays bit
for bit. A step is what takes about a microsecond: a node of a search tree, a candidate that is
looked at, eight bins that are scanned. Whatever grows with the snapshot counts its own steps.
"""


class Budget:
    """The steps of one cycle. `spent` is what each part of the planner adds to.

    1. Up to `exact` the searches for victims are exact, and look for the next-best ones too.
    2. Up to `most` they are greedy (preemption/hasty.py): the victims are not proved to be the
       cheapest, but none of them can be spared.
    3. Beyond it no victims are searched for, and the cycle ends after its next start. Another cycle
       follows at once.
    """

    exact = 600_000
    most = 1_000_000
    spent = 0
