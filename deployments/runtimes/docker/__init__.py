"""Docker engines: one engine is one node."""

from deployments.runtimes.docker.runtime import DockerRuntime as DockerRuntime
