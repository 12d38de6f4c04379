"""What Swagger says of the calls for sweeps."""

from drf_yasg import openapi

from deployments.api import headers
from deployments.api.docs import NO_CLUSTER, NOT_OWNER, REFUSED_SUBMIT
from deployments.api.sweeps.representation import (
    DryRunSerializer,
    RetriedSweepSerializer,
    ShownSweepSerializer,
    StoppedSweepSerializer,
)
from deployments.services.sweeps.steer import NOT_ENDED
from mlops_platform.api.schema import AMBIGUOUS, Doc, error

HAS_MEMBERS = error("Some of its members have not ended", "sweep_not_ended", NOT_ENDED)

SWEEPS = {
    "create": Doc(
        "sweeps",
        "Submit a sweep: one template, and many sets of parameters",
        "A member for each combination of `matrix`, or for each set of `parameters`, up to 1,000: "
        "all are queued, or none. Members are ordinary deployments, found with `?sweep=`. Each has "
        "its parameters, MLOPS_INDEX and MLOPS_SWEEP_ID as variables. Of the members at most "
        "`max_parallel` have an allocation at once. With an `Idempotency-Key` the whole is "
        "repeated safely; with `dry_run` it is checked and "
        "planned, and nothing is submitted.",
        operation_id="sweeps_submit",
        parameters=[headers.PARAMETER],
        answers={
            200: openapi.Response("With dry_run", DryRunSerializer),
            201: ShownSweepSerializer,
            404: NO_CLUSTER,
            409: REFUSED_SUBMIT,
        },
    ),
    "list": Doc("sweeps", "The sweeps of your organizations", answers={409: AMBIGUOUS}),
    "retrieve": Doc(
        "sweeps",
        "One sweep: its status, what its members do, and their parameters",
        "To wait for it, ask until `finished_at` is set.",
    ),
    "partial_update": Doc(
        "sweeps",
        "Change its name or max_parallel",
        "At any time. A lower limit stops nothing: fewer start from then on.",
    ),
    "stop": Doc(
        "sweeps",
        "Stop all members that have not ended",
        "Those that wait first. Stopping twice is fine.",
        answers={200: StoppedSweepSerializer},
    ),
    "retry_failed": Doc(
        "sweeps",
        "Submit the members that have failed again",
        "Each as a new deployment of yours with the same parameters and index, all or none. "
        "Answers 0 where none has failed, so a repetition is safe.",
        operation_id="sweeps_retry_failed",
        answers={200: RetriedSweepSerializer, 403: NOT_OWNER, 409: REFUSED_SUBMIT},
    ),
    "destroy": Doc(
        "sweeps",
        "Delete a sweep whose members have ended",
        "The members stay as deployments.",
        answers={409: HAS_MEMBERS},
    ),
}
