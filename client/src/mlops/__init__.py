"""Python client of the control plane for GPU clusters.

from mlops import Client

client = Client("http://127.0.0.1:8000", token="mlops_...")
job = client.deployments.submit(
    cluster_id="gpu-west", image="train:1.2", required_cpu=8, required_ram="16Gi", required_gpu=2
)
for line in job.logs(follow=True):
    print(line)
print(job.wait().exit_code)
"""

from mlops.client import Client
from mlops.errors import (
    ApiError,
    BusyError,
    MlopsError,
    NotAuthenticatedError,
    NotFoundError,
    UnreachableError,
)
from mlops.records import Record

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "BusyError",
    "Client",
    "MlopsError",
    "NotAuthenticatedError",
    "NotFoundError",
    "Record",
    "UnreachableError",
]
