"""Below /api/."""

from accounts.api.viewsets import UserViewSet
from mlops_platform.api.routers import ApiRouter

router = ApiRouter()
router.register("users", UserViewSet, "user")
