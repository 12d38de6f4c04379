"""Answers a log as text: as it was kept, or as a stream of what a worker reads."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounts.api.requests import Bearer
from clusters.models import Node
from deployments import logs
from deployments.log_selection import LogQuery
from deployments.models import Deployment
from deployments.output.kept import source_of
from deployments.output.missing import Missing
from mlops_platform.api.answers.streams import StreamResponse

PLAIN_TEXT = "text/plain; charset=utf-8"


def answer_log(
    request: HttpRequest,
    deployment: Deployment,
    wanted: LogQuery,
    reader: Bearer,
    stream_of: type[logs.LogStream] = logs.LogStream,
) -> HttpResponseBase:
    """400 for a replica or an attempt that cannot exist; else what LogStream raises."""
    logs.check(deployment, wanted)
    source: bytes | Missing | Node | None = None
    if not wanted.waits_for(deployment):
        source = source_of(deployment, wanted)
    response: HttpResponseBase
    if isinstance(source, Missing):
        response = HttpResponse(content_type=PLAIN_TEXT, headers=source.headers)
    elif isinstance(source, bytes):
        response = HttpResponse(source, content_type=PLAIN_TEXT)
    else:
        stream = stream_of(deployment, wanted, source, reader)
        response = StreamResponse(request, stream, content_type=PLAIN_TEXT)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy in front must not wait for the end
    return response
