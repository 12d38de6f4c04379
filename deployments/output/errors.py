"""The answers of a log that cannot be read."""

from rest_framework.exceptions import APIException


class EndpointUnavailable(APIException):
    status_code = 503
    default_code = "endpoint_unavailable"
    wait = 4  # Retry-After: 5


class OutputUnavailable(APIException):
    status_code = 503
    default_code = "output_unavailable"
    default_detail = "The worker that read this output has ended. Try again."
    wait = 4


NO_WORKER = "No worker of the runtimes' queue is there that could read this output. Try again."
ALL_BUSY = "The workers of the runtimes' queue are busy, or have just ended. Try again."
REDIS_AWAY = "Redis, which carries the output from the workers, is away or full. Try again."
