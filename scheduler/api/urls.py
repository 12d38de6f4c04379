"""Below /api/."""

from mlops_platform.api.routers import ApiRouter
from scheduler.api import viewsets

IN_CLUSTER = "clusters/<id_or_name:cluster_id>"

router = ApiRouter()
router.register(IN_CLUSTER, viewsets.ClusterStatusViewSet, "cluster-status")
router.register(f"{IN_CLUSTER}/queue", viewsets.QueueViewSet, "queue")
router.register(f"{IN_CLUSTER}/cycles", viewsets.ClusterCyclesViewSet, "cluster-cycle")
router.register("cycles", viewsets.CycleViewSet, "cycle")
router.register("deployments", viewsets.WhatIfViewSet, "what-if")
