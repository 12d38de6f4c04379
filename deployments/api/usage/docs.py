"""What Swagger says of usage and prices."""

from drf_yasg import openapi

from deployments.api.usage.parameters import CSV, MOST_GROUPS, PARAMETERS
from deployments.api.usage.serializers import EXAMPLE_USAGE, PricesSerializer, UsageSerializer
from mlops_platform.api.errors import JSON
from mlops_platform.api.schema import Doc

COLUMNS = "user_id,user,gpu_hours,…\r\n0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11,ada,500.2,…\r\n"
USAGE = {
    "usage": Doc(
        "organizations",
        "What was allocated to whom, what of it was lost, and what it cost",
        "GPU-, core- and GiB-hours of allocations within the window, cut at its edges; what is "
        "still allocated counts up to now. Hours count from a deployment's admission until its "
        f"capacity was freed. At most {MOST_GROUPS} groups.",
        parameters=PARAMETERS,
        answers={
            200: openapi.Response(
                "The groups",
                UsageSerializer,
                examples={JSON: EXAMPLE_USAGE, f"text/{CSV}": COLUMNS},
            )
        },
        operation_id="organizations_usage",
    ),
    "prices": Doc(
        "organizations",
        "What an hour costs, by the labels of nodes",
        answers={200: PricesSerializer},
    ),
    "put_prices": Doc(
        "organizations",
        "Set all prices (ADMIN)",
        "They replace the former ones, and count for all usage, also for what is past.",
        answers={200: PricesSerializer},
    ),
    "delete_prices": Doc("organizations", "Have no prices any more (ADMIN)"),
}
