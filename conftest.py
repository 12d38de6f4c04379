"""What every app's tests share."""

pytest_plugins = [
    "organizations.tests.people",
    "clusters.tests.allocation",
    "deployments.tests.runtimes.docker.engine",
    "deployments.tests.reconciler.docker_testbed",
    "deployments.tests.runtimes.docker.busybox",
    "deployments.tests.runtimes.s3",
    "deployments.tests.runtimes.docker.fetch_image",
    "deployments.tests.runtimes.kubernetes.cluster",
    "clusters.tests.attached",
    "mlops_platform.tests.equipment.world",
    "mlops_platform.tests.equipment.workers",
    "mlops_platform.tests.equipment.server",
    "mlops_platform.tests.equipment.sentinels",
    "mlops_platform.tests.equipment.browser",
]
