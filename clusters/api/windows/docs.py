"""What Swagger says of the calls for maintenance windows."""

from drf_yasg import openapi

from clusters.api.windows.serializers import PlannedWindowSerializer
from mlops_platform.api.schema import Doc, error

OVERLAPS = error(
    "A node has a window then, or too many windows",
    "window_overlaps",
    "node-1 has a window then: new disks, from 2026-03-01 18:00 to 2026-03-01 20:00 UTC.",
)
FIXED = error(
    "Under way or over, or a node has another window then",
    "window_open",
    "The window is open: its begins_at can no longer change.",
)

WINDOWS = {
    "list": Doc(
        "windows",
        "The maintenance windows of a cluster",
        "The last begin first; those that ended are shown for 90 days.",
    ),
    "create": Doc(
        "windows",
        "Plan a maintenance window",
        "From `begins_at` to `ends_at` its nodes are closed: to `node_names` and `node_selector`, "
        "both of them where both are given, without either to all. Before that a deployment starts "
        "on them only if its time limit ends it before the begin; one without a limit counts as "
        "running for the cluster's `assumed_runtime_s`. What still runs at the begin is treated by "
        "the `mode`. At the end the nodes are as before, unless users have closed them meanwhile. "
        "Nodes that come later belong to it too where they are meant.",
        answers={
            200: openapi.Response("What it would do (`dry_run`)", PlannedWindowSerializer),
            201: openapi.Response("The window", PlannedWindowSerializer),
            409: OVERLAPS,
        },
    ),
    "retrieve": Doc("windows", "One maintenance window"),
    "partial_update": Doc(
        "windows",
        "Change a maintenance window",
        "What is not given stays as it is. Of a window under way only the end and the reason can "
        "change.",
        answers={409: FIXED},
    ),
    "destroy": Doc(
        "windows",
        "Call a maintenance window off",
        "One under way ends now, and its nodes are as before.",
    ),
}
