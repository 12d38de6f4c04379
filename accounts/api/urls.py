"""Below /api/."""

from accounts.api.device_viewsets import DeviceViewSet
from accounts.api.key_viewsets import OwnKeyViewSet
from accounts.api.recovery_viewsets import EmailViewSet, PasswordResetViewSet
from accounts.api.viewsets import UserViewSet
from mlops_platform.api.routers import ApiRouter

router = ApiRouter()
router.register("users", UserViewSet, "user")
router.register("auth/device", DeviceViewSet, "device")
router.register("auth/password", PasswordResetViewSet, "password")
router.register("auth/email", EmailViewSet, "email")
router.register("users/me/keys", OwnKeyViewSet, "own-key")
