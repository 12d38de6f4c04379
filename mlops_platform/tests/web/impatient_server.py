"""`python -m mlops_platform.tests.web.impatient_server`, followed by gunicorn's arguments: the web
server with a fifth of its patience, so that no test waits for half a minute."""

import os
import sys
from datetime import timedelta

import django
from django.conf import settings
from gunicorn.app.wsgiapp import run

PATIENCE_S = {
    "mlops_platform.web.limits.HEAD_S": 2.0,
    "mlops_platform.web.limits.BODY_S": 4.0,
    "mlops_platform.web.limits.IDLE_S": 3.0,
    "mlops_platform.web.limits.UNREAD_S": 6.0,
    "mlops_platform.web.limits.ALLOWED_EVERY_S": 1.0,
    "deployments.output.at_endpoint.READ_S": 6.0,
    "deployments.logs.READ_S": 6.0,
}

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")
    settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "LEEWAY": timedelta(0)}
    django.setup()
    for name, seconds in PATIENCE_S.items():
        module, _, constant = name.rpartition(".")
        __import__(module)
        setattr(sys.modules[module], constant, seconds)
    run()
