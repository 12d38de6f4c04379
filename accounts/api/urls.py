"""Below /api/."""

from django.urls import path

from accounts.api.viewsets import LoginViewSet, MeViewSet, RegistrationViewSet, TokenViewSet

urlpatterns = [
    path("users/register", RegistrationViewSet.as_view({"post": "create"})),
    path("users/login", LoginViewSet.as_view({"post": "create"})),
    path("users/refresh", TokenViewSet.as_view({"post": "refresh"})),
    path("users/logout", TokenViewSet.as_view({"post": "logout"})),
    path("users/me", MeViewSet.as_view({"get": "retrieve", "patch": "partial_update"})),
]
