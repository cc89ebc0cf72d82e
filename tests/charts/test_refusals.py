"""What is refused, each with the words that say why: by the templates where values do not hold together, by the schema of the
values where one of them is not what it can be."""

import json

import pytest
import yaml
from cluster import CHART, VALUES

# set of values, what is changed, what is said
BY_TEMPLATES = [
    ("", [], "config is empty: write tagwarden.yaml there"),
    ("gateway", ["existingConfigMap=mine"], "config and existingConfigMap are both there"),
    ("gateway", ["config.upstream.url=null"], "config.upstream.url is missing"),
    ("gateway", ["policies.existingConfigMap=mine"], "policies.files and policies.existingConfigMap are both there"),
    ("gateway", ["catalogue.existingConfigMap=mine"], "catalogue.files and catalogue.existingConfigMap are both there"),
    ("chalk-audit", ["shadow.existingConfigMap=mine"], "shadow.files and shadow.existingConfigMap are both there"),
    ("gateway", ["policies.files=null"], "there is no policy: fill policies.files"),
    ("gateway", ["config.listen.address=127.0.0.1:8080"], "config.listen.address is 127.0.0.1:8080, which nobody reaches"),
    (
        "gateway",
        ["config.metrics.address=127.0.0.1:9902"],
        "config.metrics.address is 127.0.0.1:9902, where the kubelet cannot ask",
    ),
    ("gateway", ["config.metrics.address=0.0.0.0:9000"], "probes.readiness.handler exec asks port 9902"),
    (
        "gateway",
        ["extraVolumeMounts[0].name=a", "extraVolumeMounts[0].mountPath=/x", "extraVolumeMounts[0].subPath=x"],
        "extraVolumeMounts: /x is mounted by subPath, and would never be updated",
    ),
    ("gateway", ["issuer.keysSecretName=keys"], "go with config.issuer, which is not there"),
    ("issuer", ["issuer.clientsSecretName="], "config.issuer needs issuer.clientsSecretName"),
    ("issuer", ["config.issuer.store=null"], "config.issuer with 3 replicas needs config.issuer.store.redis_url"),
    (
        "issuer",
        ["config.issuer.store.redis_url=null", "config.issuer.store.embedded=/x"],
        "needs config.issuer.store.redis_url",
    ),
    ("issuer", ["issuer.keysSecretName="], "config.issuer with 3 replicas needs issuer.keysSecretName"),
    ("issuer", ["issuer.keysSecretName=", "replicaCount=1"], "config.issuer.store.redis_url needs issuer.keysSecretName"),
    ("issuer-alone", ["replicaCount=2"], "config.issuer with 2 replicas needs config.issuer.store.redis_url"),
    ("issuer-alone", ["autoscaling.enabled=true"], "config.issuer with 10 replicas needs config.issuer.store.redis_url"),
    ("gateway", ["terminationGracePeriodSeconds=31"], "terminationGracePeriodSeconds is 31, and the drain needs 32"),
    ("gateway", ["config.drain.timeout=1m"], "terminationGracePeriodSeconds is 40, and the drain needs 67"),
    ("gateway", ["config.drain.delay=15500ms"], "terminationGracePeriodSeconds is 40, and the drain needs 43"),
    ("gateway", ["config.drain.delay=soon"], "config.drain.delay is `soon`, not a duration"),
    ("sidecar", ["config.drain.delay=7s"], "the drain needs 41: config.drain.delay twice"),
    ("sidecar", ["ingress.enabled=true"], "ingress goes with mode gateway"),
    ("sidecar", ["autoscaling.enabled=true"], "autoscaling goes with mode gateway"),
    ("sidecar", ["podDisruptionBudget.enabled=true"], "podDisruptionBudget goes with mode gateway"),
    (
        "sidecar",
        ["serviceMonitor.enabled=true"],
        "serviceMonitor goes with mode gateway: in the sidecar form the pods and their Service are another chart's (podMonitor",
    ),
    ("sidecar", ["sidecar.podLabels=null"], "sidecar.podLabels is empty"),
    ("sidecar", ["config.catalogue[0].chalk_graph=true"], "a native sidecar starts before the feature server"),
    ("everything", ["networkPolicy.upstream.podLabels=null"], "networkPolicy.upstream.podLabels is empty"),
    ("everything", ["podMonitor.enabled=true"], "serviceMonitor and podMonitor are both on"),
    ("everything", ["autoscaling.minReplicas=21"], "autoscaling.minReplicas is above maxReplicas"),
    ("everything", ["ingress.hosts=null"], "ingress.hosts is empty"),
]

BY_SCHEMA = [
    ("replicacount=2", "additional properties 'replicacount' not allowed"),
    ("service.prot=80", "additional properties 'prot' not allowed"),
    ("networkPolicy.upstream.port=6566", "additional properties 'port' not allowed"),
    ("mode=both", "at '/mode': value must be one of 'gateway', 'sidecar'"),
    ("image.tag=latest", "at '/image/tag': 'not' failed"),
    ("image.digest=sha256:12", "at '/image/digest': 'sha256:12' does not match pattern"),
    ("securityContext.privileged=true", "at '/securityContext/privileged': value must be false"),
    ("securityContext.runAsUser=0", "at '/securityContext/runAsUser': minimum: got 0, want 1"),
    ("securityContext.runAsNonRoot=false", "at '/securityContext/runAsNonRoot': value must be true"),
    ("probes.readiness.handler=grpc", "at '/probes/readiness/handler': value must be one of 'exec', 'http'"),
    ("service.type=ExternalName", "at '/service/type': value must be one of"),
    ("service.port=0", "at '/service/port'"),
    ("sidecar.native=perhaps", "at '/sidecar/native': value must be one of"),
    ("sidecar.preStop=wait", "at '/sidecar/preStop': value must be one of"),
    ("policies.files.policy=x", "invalid propertyName 'policy'"),
    ("policies.files.policy\\.yaml=", "at '/policies/files/policy.yaml': minLength"),
    ("secrets[0].name=key", "at '/secrets/0': missing property 'secretName'"),
    ("tls.secretName=Not_A_Name", "at '/tls/secretName': 'Not_A_Name' does not match pattern"),
    ("data.volume.a=b,data.volume.c=d", "at '/data/volume': maxProperties: got 2, want 1"),
    ("serviceMonitor.interval=often", "at '/serviceMonitor/interval': 'often' does not match pattern"),
    ("config=none", "at '/config': got string, want object"),
    ("terminationGracePeriodSeconds=40s", "at '/terminationGracePeriodSeconds': got string, want integer"),
]


@pytest.mark.parametrize("name,changes,words", BY_TEMPLATES)
def test_what_does_not_hold_together_is_refused(helm, name, changes, words):
    sets = [part for change in changes for part in ("--set", change)]
    values = ["--values", VALUES / f"{name}.yaml"] if name else []
    refused = helm.run("template", "shop", CHART, "--kube-version", "1.37", *values, *sets)
    assert refused.returncode != 0 and words in refused.stderr, refused.stderr + refused.stdout[:300]


@pytest.mark.parametrize("change,words", BY_SCHEMA)
def test_the_schema_refuses_it(helm, change, words):
    refused = helm.run("template", "shop", CHART, "--values", VALUES / "gateway.yaml", "--set", change)
    assert refused.returncode != 0 and words in refused.stderr, refused.stderr + refused.stdout[:300]


def test_every_refusal_of_the_templates_is_tried():
    text = "".join(file.read_text() for file in (CHART / "templates").glob("*.tpl"))
    tried = len({words[:28] for *_, words in BY_TEMPLATES})
    assert text.count("fail ") <= tried, f"{text.count('fail ')} refusals, {tried} of them tried"


def test_a_live_graph_goes_with_a_plain_sidecar(helm):
    values = [VALUES / "sidecar.yaml", "--set", "config.catalogue[0].chalk_graph=true"]
    helm.done("template", "shop", CHART, "--values", *values, "--set", "sidecar.native=false")
    helm.done("template", "shop", CHART, "--values", *values, "--kube-version", "1.28")


def test_a_duration_in_a_variable_is_taken_for_the_default(helm):
    helm.done("template", "shop", CHART, "--values", VALUES / "gateway.yaml", "--set", "config.drain.delay=${DELAY:-5s}")


def test_levels_of_ours_are_closed_in_the_schema():
    """A level whose keys are known refuses others; those of Kubernetes are its own business."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def open_levels(node, path):
        if "properties" in node and node.get("additionalProperties") is not False and path != "securityContext":
            yield path
        for key, child in node.get("properties", {}).items():
            yield from open_levels(child, f"{path}.{key}".lstrip("."))
        if isinstance(node.get("items"), dict):
            yield from open_levels(node["items"], f"{path}[]")

    assert list(open_levels(schema, "")) == []


def test_the_schema_knows_every_value():
    def keys(node, path=""):
        for key, value in node.items():
            yield path + key
            if isinstance(value, dict):
                yield from keys(value, f"{path}{key}.")

    def known(schema, path):
        for key in path.split("."):
            if key not in schema.get("properties", {}):
                return schema.get("additionalProperties") is not False
            schema = schema["properties"][key]
        return True

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [path for path in keys(values) if not known(schema, path)] == []
    assert set(schema["properties"]) - set(values) == {"global", "enabled"}  # a parent chart's
