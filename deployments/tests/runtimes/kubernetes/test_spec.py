"""The Pod of a launch spec."""

import pytest

from deployments.runtimes.base import Container, Probe, ReplicaPlacement, Sandbox
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.tests.runtimes.kubernetes.cluster import CLUSTER, DEPLOYMENT, launch_spec


def pod(secret=None, **given):
    spec = launch_spec(**given)
    return pod_of(spec, spec.placement[0], CLUSTER, secret)


def container(**given):
    [only] = pod(**given)["spec"]["containers"]
    return only


def test_a_launch_spec_becomes_a_whole_pod():
    assert pod(placement=[ReplicaPlacement(3, "node-7")], attempt=2, gpu=1, args=["--fast"]) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"mlops-{DEPLOYMENT}-2-3",
            "labels": {
                "mlops-platform/cluster": CLUSTER,
                "mlops-platform/deployment": DEPLOYMENT,
                "mlops-platform/attempt": "2",
                "mlops-platform/replica": "3",
                "mlops-platform/name": "train",
            },
            "annotations": {},
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchFields": [
                                    {"key": "metadata.name", "operator": "In", "values": ["node-7"]}
                                ]
                            }
                        ]
                    }
                }
            },
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostNetwork": False,
            "hostPID": False,
            "hostIPC": False,
            "shareProcessNamespace": True,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": "registry.test/train:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "1000"],
                    "args": ["--fast"],
                    "env": [{"name": "MLOPS_REPLICA", "value": "3"}],
                    "resources": {
                        "requests": {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "1"},
                        "limits": {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "1"},
                    },
                    "securityContext": {
                        "privileged": False,
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
                }
            ],
            "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}}],
        },
    }


def test_omitted_fields_are_left_to_the_image_and_the_cluster():
    assert container(command=[], gpu=0).keys() == {
        "name",
        "image",
        "imagePullPolicy",
        "env",
        "resources",
        "securityContext",
        "volumeMounts",
    }
    assert "nvidia.com/gpu" not in container(gpu=0)["resources"]["limits"]
    assert not pod()["spec"].keys() & {"tolerations", "nodeName", "imagePullSecrets"}


def test_an_operator_may_loosen_the_sandbox():
    sandbox = Sandbox(
        add_capabilities=("CAP_NET_BIND_SERVICE", "CHOWN"),
        allow_privilege_escalation=True,
        read_only_root=True,
    )
    assert container(sandbox=sandbox)["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": True,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]},
    }


def test_a_user_and_a_working_directory_are_as_asked():
    asked = container(container=Container(user="1000:100", workdir="/work"))
    assert asked["workingDir"] == "/work"
    assert asked["securityContext"]["runAsUser"] == 1000
    assert asked["securityContext"]["runAsGroup"] == 100
    assert "runAsGroup" not in container(container=Container(user="0"))["securityContext"]


def test_an_image_is_pulled_at_each_start_where_asked():
    assert container(container=Container(pull_policy="always"))["imagePullPolicy"] == "Always"


def test_a_pre_stop_is_the_hook_of_its_lifecycle():
    command = ["sh", "-c", "kill -USR1 $(pidof python)"]
    asked = container(container=Container(pre_stop=command), command=["python"])
    assert asked["lifecycle"] == {"preStop": {"exec": {"command": command}}}
    assert "lifecycle" not in container()


def test_shared_memory_and_tmp_are_in_the_ram_and_no_larger():
    asked = pod(ram_mib=256, container=Container(shm_mib=512), sandbox=Sandbox(read_only_root=True))
    assert asked["spec"]["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}},
    ]
    [only] = asked["spec"]["containers"]
    assert [each["mountPath"] for each in only["volumeMounts"]] == ["/dev/shm", "/tmp"]


@pytest.mark.parametrize(
    ("probe", "asks"),
    [
        (Probe("http", port=80, path="/up"), {"httpGet": {"path": "/up", "port": 80}}),
        (Probe("tcp", port=5432), {"tcpSocket": {"port": 5432}}),
        (Probe("command", command=("test", "-f", "x")), {"exec": {"command": ["test", "-f", "x"]}}),
    ],
)
def test_a_probe_becomes_a_readiness_probe(probe, asks):
    expected = {**asks, "periodSeconds": 5, "timeoutSeconds": 2}
    assert container(probe=probe)["readinessProbe"] == expected


def test_a_dollar_sign_stays_a_dollar_sign():
    seen = container(command=["sh", "-c", "echo $(HOME) $$"], args=["$X"], env={"A": "$(B)"})
    assert seen["command"] == ["sh", "-c", "echo $$(HOME) $$$$"]
    assert seen["args"] == ["$$X"]
    assert {"name": "A", "value": "$$(B)"} in seen["env"]


def test_a_pod_refers_to_the_secret_for_pulling_images():
    assert pod(secret="s")["spec"]["imagePullSecrets"] == [{"name": "s"}]


@pytest.mark.parametrize(
    ("given", "label", "annotation"),
    [
        ("acme", "acme", None),
        ("Ann Example <ann@acme.test>", "Ann-Example-ann-acme.test", "Ann Example <ann@acme.test>"),
        ("-._edges_.-", "edges", "-._edges_.-"),
        ("é" * 3, "", "é" * 3),
        ("x" * 70, "x" * 63, "x" * 70),
        ("x" * 62 + "-y", "x" * 62, "x" * 62 + "-y"),
    ],
)
def test_labels_for_people_fit_the_syntax_and_annotations_have_it_all(given, label, annotation):
    metadata = pod(labels={"owner": given})["metadata"]
    assert metadata["labels"]["mlops-platform/owner"] == label
    assert metadata["annotations"].get("mlops-platform/owner") == annotation


def test_no_label_of_a_launch_spec_changes_the_identity_or_means_anything_to_others():
    given = {
        "cluster": "x",
        "mlops-platform/deployment": "x",
        "app.kubernetes.io/name": "x",
        "//": "x",
    }
    assert pod(labels=given)["metadata"]["labels"] == {
        **pod()["metadata"]["labels"],
        "mlops-platform/app.kubernetes.io-name": "x",
    }
