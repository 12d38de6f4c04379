"""The quota calls: parse, call one service or query, answer.

Here and not in clusters, for each answer tells what the owner's deployments hold.
"""

from uuid import UUID

from drf_yasg.utils import swagger_auto_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from accounts.api.callers import caller
from clusters.api.quota_serializers import LimitsSerializer, QuotaSerializer
from clusters.models import Cluster, Quota
from clusters.queries import cluster_for, quota_for, quotas_in
from clusters.services import quotas
from deployments.queries import allocated_in
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.requests import body_of, query_of
from mlops_platform.api.schema import error
from organizations.models import Role

WHAT_IT_IS = (
    "What a user's deployments hold of the cluster, with all replicas, may not grow beyond the "
    "user's quota; one that would exceed it waits with QUOTA_EXCEEDED, is in nobody's way and "
    "evicts nobody. A user's own quota replaces the default as a whole: where it has no limit, "
    "there is none. A quota below what is held evicts nobody, but nothing starts that asks for "
    "more of it."
)
NO_MEMBER = error(
    "No such cluster, or not yours; or the user is no member of its organization",
    "not_found",
    "There is nothing here, or it is not yours to see.",
)
TOO_LOW = error(
    "Role too low", "permission_denied", "This needs the role ADMIN; yours is DEVELOPER."
)
CLOSING = error(
    "The cluster is being deleted",
    "cluster_deleting",
    "The cluster is being deleted: it goes once what runs in it has been stopped.",
)
UNLIMITED = error(
    "Malformed or invalid, or no limit at all",
    "invalid",
    FAULTY,
    **{name: [quotas.NEEDS_A_LIMIT] for name in quotas.LIMITS},
)


class QuotaViewSet(GenericViewSet):
    queryset = Quota.objects.none()

    @swagger_auto_schema(
        operation_summary="The quotas of a cluster, the default first, with what is held",
        operation_description=WHAT_IT_IS,
        tags=["clusters"],
        responses={200: QuotaSerializer(many=True)},
    )
    def list(self, request: Request, cluster_id: UUID) -> Response:
        query_of(request)
        cluster = cluster_for(caller(request), cluster_id)
        page = self.paginate_queryset(quotas_in(cluster)) or []
        return self.get_paginated_response(_shown(page, cluster.pk))

    @swagger_auto_schema(
        operation_summary="A user's own quota, with what the user holds",
        tags=["clusters"],
        responses={200: QuotaSerializer},
    )
    def retrieve(self, request: Request, cluster_id: UUID, user_id: UUID) -> Response:
        return _read(request, cluster_id, user_id)

    @swagger_auto_schema(
        operation_summary="Give a user a quota of their own",
        operation_description=(
            f"It replaces the one of before as a whole. {WHAT_IT_IS} Without any limit it exempts "
            "the user from the default. Whoever leaves the organization keeps theirs, as their "
            "deployments go on."
        ),
        tags=["clusters"],
        request_body=LimitsSerializer,
        responses={
            200: QuotaSerializer,
            201: QuotaSerializer,
            403: TOO_LOW,
            404: NO_MEMBER,
            409: CLOSING,
        },
    )
    def update(self, request: Request, cluster_id: UUID, user_id: UUID) -> Response:
        return _put(request, cluster_id, user_id)

    @swagger_auto_schema(
        operation_summary="Delete a user's own quota",
        operation_description="From then on the default holds for them, if there is one.",
        tags=["clusters"],
        responses={204: "Gone", 403: TOO_LOW, 409: CLOSING},
    )
    def destroy(self, request: Request, cluster_id: UUID, user_id: UUID) -> Response:
        return _delete(request, cluster_id, user_id)


class DefaultQuotaViewSet(ViewSet):
    @swagger_auto_schema(
        operation_summary="The quota of everybody who has none of their own",
        tags=["clusters"],
        responses={200: QuotaSerializer},
    )
    def retrieve(self, request: Request, cluster_id: UUID) -> Response:
        return _read(request, cluster_id, None)

    @swagger_auto_schema(
        operation_summary="Set the quota of everybody who has none of their own",
        operation_description=(
            f"Each of them may hold so much. It replaces the one of before as a whole. {WHAT_IT_IS}"
        ),
        tags=["clusters"],
        request_body=LimitsSerializer,
        responses={
            200: QuotaSerializer,
            201: QuotaSerializer,
            400: UNLIMITED,
            403: TOO_LOW,
            409: CLOSING,
        },
    )
    def update(self, request: Request, cluster_id: UUID) -> Response:
        return _put(request, cluster_id, None)

    @swagger_auto_schema(
        operation_summary="Delete the default quota",
        operation_description="From then on only those have limits who have a quota of their own.",
        tags=["clusters"],
        responses={204: "Gone", 403: TOO_LOW, 409: CLOSING},
    )
    def destroy(self, request: Request, cluster_id: UUID) -> Response:
        return _delete(request, cluster_id, None)


def _read(request: Request, cluster_id: UUID, user_id: UUID | None) -> Response:
    (shown,) = _shown([quota_for(caller(request), cluster_id, user_id)], cluster_id)
    return Response(shown)


def _put(request: Request, cluster_id: UUID, user_id: UUID | None) -> Response:
    cluster = _of_admin(request, cluster_id)
    limits = body_of(request, LimitsSerializer)
    quota, created = quotas.put_quota(cluster, user_id, limits)
    (shown,) = _shown([quota], cluster_id)
    return Response(shown, status=201 if created else 200)


def _delete(request: Request, cluster_id: UUID, user_id: UUID | None) -> Response:
    quotas.delete_quota(_of_admin(request, cluster_id), user_id)
    return Response(status=204)


def _of_admin(request: Request, cluster_id: UUID) -> Cluster:
    return cluster_for(caller(request), cluster_id, Role.ADMIN)


def _shown(page: list[Quota], cluster_id: UUID) -> list[dict[str, object]]:
    """Two queries at most, however many there are."""
    users = [quota.user_id for quota in page if quota.user_id is not None]
    held = allocated_in([cluster_id], owner__in=users).get(cluster_id, {})
    return list(QuotaSerializer(page, many=True, context={"held": held}).data)
