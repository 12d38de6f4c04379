"""Many submits in one call."""

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.callers import caller
from deployments.api import headers
from deployments.api.representation import DeploymentSerializer, present, present_new
from deployments.api.serializers import BulkSerializer
from deployments.api.viewsets import KEY_REUSED
from deployments.models import Deployment
from deployments.services import bulk
from deployments.services.drafts import Order
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.requests import body_of
from mlops_platform.api.schema import error

FAULTS = error(
    "Malformed or invalid; every item at fault is told by its number, from 0",
    "invalid",
    FAULTY,
    deployments={"3": {"required_gpu": ["A valid integer is required."]}},
)
NO_CLUSTER = error(
    "No such cluster, or not yours",
    "not_found",
    "There is nothing here, or it is not yours to see.",
    deployments={"3": {"cluster_id": ["There is nothing here, or it is not yours to see."]}},
)
LOW_ROLE = error(
    "Role too low",
    "permission_denied",
    "This needs the role DEVELOPER; yours is VIEWER.",
    deployments={"3": {"cluster_id": ["This needs the role DEVELOPER; yours is VIEWER."]}},
)


class BulkViewSet(GenericViewSet):
    queryset = Deployment.objects.none()

    @swagger_auto_schema(
        operation_summary="Submit many deployments: all of them, or none",
        operation_description=(
            "Up to 1,000, each the body of a submit without `quote`, in any clusters where you may "
            "submit. Answers them in the order given. With an `Idempotency-Key` the whole is "
            "repeated safely. What is refused is told under `fields` by the item's number."
        ),
        tags=["deployments"],
        manual_parameters=[headers.PARAMETER],
        request_body=BulkSerializer,
        responses={
            201: DeploymentSerializer(many=True),
            400: FAULTS,
            403: LOW_ROLE,
            404: NO_CLUSTER,
            409: KEY_REUSED,
        },
    )
    def create(self, request: Request) -> Response:
        bodies = body_of(request, BulkSerializer)["deployments"]
        orders = [Order(body.pop("cluster_id"), body, body.pop("priority")) for body in bodies]
        submitted = bulk.create_deployments(
            caller(request), orders, idempotency_key=headers.idempotency_key(request)
        )
        if submitted.replayed:
            return Response(present(submitted.deployments), 201, headers={headers.REPLAYED: "true"})
        answer = present_new(submitted.deployments, submitted.class_names, submitted.dependencies)
        return Response(answer, status=201)
