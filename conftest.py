"""What every app's tests share."""

pytest_plugins = [
    "organizations.tests.people",
    "clusters.tests.capacity",
    "deployments.tests.runtimes.engine",
    "deployments.tests.runtimes.busybox",
    "deployments.tests.runtimes.kubernetes_cluster",
    "clusters.tests.attached",
    "mlops_platform.tests.world",
    "mlops_platform.tests.server",
    "mlops_platform.tests.browser",
]
