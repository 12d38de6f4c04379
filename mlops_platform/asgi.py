"""The ASGI entry point that gunicorn serves with the workers of `mlops_platform.web`."""

from mlops_platform import wsgi  # sets Django up, which the other needs
from mlops_platform.web.application import WebApplication

application = WebApplication(wsgi.application)
