"""What of a cluster or node is free: what can be had, and what is closed to all that waits."""

from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from clusters import queries
from clusters.models import Cluster, Node, NodeState
from mlops_platform.api.fields import ShownCores, cores
from mlops_platform.api.resources import Amounts

CLOSED = "Free where nothing starts now: on closed nodes, or while the cluster is not ACTIVE."


def closed_of(row: Cluster | Node) -> Amounts:
    """What of it is free and closed. One query for a cluster, none after attach_closed."""
    if isinstance(row, Cluster):
        return queries.closed_in(row)
    if row.effective_state == NodeState.READY:
        return Amounts()
    return Amounts(row.free_cpu_milli, row.free_ram_mib, row.free_gpu)


class ShownFree(serializers.Serializer):
    """`available_*`, what can be had now, and `closed_*` beside it."""

    available_cpu = serializers.SerializerMethodField()
    available_ram = serializers.SerializerMethodField()
    available_gpu = serializers.SerializerMethodField()
    closed_cpu = serializers.SerializerMethodField(help_text=CLOSED)
    closed_ram = serializers.SerializerMethodField(help_text=CLOSED)
    closed_gpu = serializers.SerializerMethodField(help_text=CLOSED)

    @swagger_serializer_method(ShownCores())
    def get_available_cpu(self, row: Any) -> int | float:
        return cores(row.free_cpu_milli - closed_of(row).cpu_milli)

    @swagger_serializer_method(serializers.IntegerField())
    def get_available_ram(self, row: Any) -> int:
        return int(row.free_ram_mib) - closed_of(row).ram_mib

    @swagger_serializer_method(serializers.IntegerField())
    def get_available_gpu(self, row: Any) -> int:
        return int(row.free_gpu) - closed_of(row).gpu

    @swagger_serializer_method(ShownCores(help_text=CLOSED))
    def get_closed_cpu(self, row: Any) -> int | float:
        return cores(closed_of(row).cpu_milli)

    @swagger_serializer_method(serializers.IntegerField(help_text=CLOSED))
    def get_closed_ram(self, row: Any) -> int:
        return closed_of(row).ram_mib

    @swagger_serializer_method(serializers.IntegerField(help_text=CLOSED))
    def get_closed_gpu(self, row: Any) -> int:
        return closed_of(row).gpu
