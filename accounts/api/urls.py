"""Below /api/."""

from accounts.api.key_viewsets import OwnKeyViewSet
from accounts.api.viewsets import UserViewSet
from mlops_platform.api.routers import ApiRouter

router = ApiRouter()
router.register("users", UserViewSet, "user")
router.register("users/me/keys", OwnKeyViewSet, "own-key")
