"""A Kubernetes cluster as a runtime: one Pod a replica, placed under the kube-scheduler's eyes."""

from deployments.runtimes.kubernetes.runtime import KubernetesRuntime

__all__ = ["KubernetesRuntime"]
