"""Below /api/."""

from clusters.api.viewsets import ClusterViewSet, NodeViewSet, RegistryViewSet
from clusters.api.volumes.viewsets import VolumeViewSet
from clusters.api.windows.viewsets import WindowViewSet
from mlops_platform.api.routers import ApiRouter

router = ApiRouter()
router.register("clusters", ClusterViewSet, "cluster")
router.register("clusters/<id_or_name:cluster_id>/nodes", NodeViewSet, "node")
router.register("clusters/<id_or_name:cluster_id>/registries", RegistryViewSet, "registry")
router.register("clusters/<id_or_name:cluster_id>/volumes", VolumeViewSet, "volume")
router.register("clusters/<id_or_name:cluster_id>/windows", WindowViewSet, "window")
