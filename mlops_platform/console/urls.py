"""Every path of the console, below `/console/`."""

from django.urls import path

from mlops_platform.console.views import (
    action,
    audit,
    cluster,
    decisions,
    deployment,
    deployments,
    home,
    login,
    logs,
    news,
    organizations,
    submit,
    usage,
    webhooks,
    why,
)

app_name = "console"
urlpatterns = [
    path("", home.show, name="home"),
    path("login/", login.log_in, name="login"),
    path("login/code/", login.ask_for_code, name="code"),
    path("news/", news.show, name="news"),
    path("logout/", login.log_out, name="logout"),
    path("clusters/<str:cluster_id>/", cluster.show, name="cluster"),
    path("clusters/<str:cluster_id>/curve/", cluster.curve, name="curve"),
    path("organizations/", organizations.show_all, name="organizations"),
    path("organizations/<str:organization_id>/", organizations.show, name="organization"),
    path("organizations/<str:organization_id>/webhooks/", webhooks.show, name="webhooks"),
    path("organizations/<str:organization_id>/audit/", audit.show, name="audit"),
    path("organizations/<str:organization_id>/usage/", usage.show, name="usage"),
    path("organizations/<str:organization_id>/usage/csv/", usage.download, name="usage-table"),
    path("submit/", submit.show, name="submit"),
    path("submit/quote/", submit.quote, name="quote"),
    path("clusters/<str:cluster_id>/decisions/", decisions.show_all, name="decisions"),
    path("decisions/<str:cycle_id>/", decisions.show, name="decision"),
    path("deployments/", deployments.show, name="deployments"),
    path("deployments/look/", action.look, name="look"),
    path("deployments/act/", action.do, name="act"),
    path("deployments/<str:deployment_id>/", deployment.show, name="deployment"),
    path("deployments/<str:deployment_id>/why/", why.show, name="why"),
    path("deployments/<str:deployment_id>/stop/", deployment.stop, name="stop"),
    path("deployments/<str:deployment_id>/log/", logs.show, name="log"),
    path("deployments/<str:deployment_id>/log/download/", logs.download, name="download"),
]
