"""Every path of the platform, written without a trailing slash (see headers.py)."""

from django.contrib import admin
from django.urls import include, path

from accounts.api import urls as accounts
from clusters.api import urls as clusters
from deployments.api import urls as deployments
from mlops_platform import documents, health
from mlops_platform.api.routers import ApiRouter
from organizations.api import urls as organizations
from scheduler.api import urls as scheduler

router = ApiRouter()
for app in (accounts, organizations, clusters, deployments, scheduler):
    router.registry.extend(app.router.registry)

urlpatterns = [
    path("api/", include(router.urls)),
    path("swagger/", documents.SwaggerView.with_ui("swagger"), name="swagger"),
    path("swagger.json", documents.show, {"name": "swagger.json"}),
    path("swagger.yaml", documents.show, {"name": "swagger.yaml"}),
    path("openapi.json", documents.show, {"name": "openapi.json"}),
    path("openapi.yaml", documents.show, {"name": "openapi.yaml"}),
    path("", health.front),
    path("console/", include("mlops_platform.console.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("sign-on/", include("mlops_platform.sign_on.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "mlops_platform.api.errors.bad_request"
handler403 = "mlops_platform.console.errors.permission_denied"
handler404 = "mlops_platform.console.errors.page_not_found"
handler500 = "mlops_platform.console.errors.server_error"
