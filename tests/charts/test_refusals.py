"""What is refused, each with the words that say why: by the templates where values do not hold together, by the schema of the
values where one of them is not what it can be."""

import json
import os
import re

import pytest
import values_schema
import yaml
from cluster import CHART, ROOT, VALUES

# A live graph of Chalk's.
LIVE = [
    "config.upstream.dialect=chalk",
    "config.listen.public_url=http://shop.features",
    "config.chalk.environment=prod",
    "config.catalogue[0].chalk_graph=true",
    "config.catalogue[0].bearer_file=/etc/tagwarden/secrets/chalk/token",
]

# set of values, what is changed, what is said
BY_TEMPLATES = [
    ("", [], "config is empty: write tagwarden.yaml there"),
    ("gateway", ["existingConfigMap=mine"], "config and existingConfigMap are both there"),
    ("", ["config.threads=2"], "config.upstream.url is missing"),
    ("gateway", ["config.auth=null"], "config accepts nobody: write auth.issuers, auth.opaque or issuer there"),
    ("tls", ["tls.clientCa=false"], "config accepts nobody"),
    ("gateway", ["policies.files.policy=x"], "--set-file 'policies.files.policy\\.yaml=FILE'"),
    ("gateway", ["policies.files.policy.yaml=x"], "policies.files has `policy`, no name that ends with .yaml"),
    ("gateway", ["catalogue.files.a\\.json=x"], "catalogue.files has `a.json`, no name that ends with .yaml"),
    ("gateway", ["policies.files.b\\.yaml.version=1"], "policies.files has no text under `b.yaml`"),
    ("gateway", ["image.tag=latest"], "image.tag is latest, which is another image tomorrow: write a version"),
    ("gateway", ["tests.image.tag=latest"], "tests.image.tag is latest"),
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
    ("sidecar", ["config.drain.delay=7s"], "the drain needs 41: config.drain.delay twice"),
    ("sidecar", ["ingress.enabled=true"], "ingress goes with mode gateway"),
    ("sidecar", ["autoscaling.enabled=true"], "autoscaling goes with mode gateway"),
    ("sidecar", ["podDisruptionBudget.enabled=true"], "podDisruptionBudget goes with mode gateway"),
    (
        "sidecar",
        ["serviceMonitor.enabled=true"],
        "serviceMonitor goes with mode gateway: in the sidecar form the pods and their Service are another chart's (podMonitor",
    ),
    (
        "sidecar",
        ["config.upstream.url=http://shop-feast.features:80"],
        "config.upstream.url leads out of the pod: in the sidecar form the feature server is in the same one",
    ),
    ("sidecar", ["config.upstream.url=http://127.0.0.1.example:80"], "write http://127.0.0.1:PORT or unix:/PATH"),
    ("sidecar", ["config.upstream.url=http://feast.${NAMESPACE}:80"], "write http://127.0.0.1:PORT or unix:/PATH"),
    ("sidecar", ["config.upstream.engine_url=http://feast:50051"], "config.upstream.engine_url leads out of the pod"),
    ("sidecar", ["sidecar.podLabels=null"], "sidecar.podLabels is empty"),
    ("sidecar", LIVE, "a native sidecar starts before the feature server"),
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
    ("image.digest=sha256:12", "at '/image/digest': 'sha256:12' does not match pattern"),
    ("securityContext.privileged=true", "at '/securityContext/privileged': value must be false"),
    ("securityContext.runAsUser=0", "at '/securityContext/runAsUser': minimum: got 0, want 1"),
    ("securityContext.runAsNonRoot=false", "at '/securityContext/runAsNonRoot': value must be true"),
    ("probes.readiness.handler=grpc", "at '/probes/readiness/handler': value must be one of 'exec', 'http'"),
    ("service.type=ExternalName", "at '/service/type': value must be one of"),
    ("service.port=0", "at '/service/port'"),
    ("sidecar.native=perhaps", "at '/sidecar/native': value must be one of"),
    ("sidecar.preStop=wait", "at '/sidecar/preStop': value must be one of"),
    ("policies.files.policy\\.yaml=", "at '/policies/files/policy.yaml': minLength"),
    ("secrets[0].name=key", "at '/secrets/0': missing property 'secretName'"),
    ("tls.secretName=Not_A_Name", "at '/tls/secretName': 'Not_A_Name' does not match pattern"),
    ("data.volume.a=b,data.volume.c=d", "at '/data/volume': maxProperties: got 2, want 1"),
    ("serviceMonitor.interval=often", "at '/serviceMonitor/interval': 'often' does not match pattern"),
    ("config=none", "at '/config': got string, want object"),
    ("config.limts.inflight=3", "at '/config': additional properties 'limts' not allowed"),
    ("config.limits.inflght=3", "at '/config/limits': additional properties 'inflght' not allowed"),
    ("config.limits.inflight=many", "at '/config/limits/inflight': got string, want integer"),
    ("config.upstream.dialect=feest", "at '/config/upstream/dialect': value must be 'feast'"),
    ("config.upstream.url=feast:6566", "at '/config/upstream/url': 'feast:6566' does not match pattern"),
    ("config.upstream.url=null", "at '/config/upstream/url': got null, want string"),
    ("config.drain.delay=soon", "at '/config/drain/delay': 'soon' does not match pattern"),
    ("config.routes[0].path=/a/../b,config.routes[0].methods[0]=GET", "at '/config/routes/0/path': '/a/../b' does not match"),
    ("config.routes[0].path=/a,config.routes[0].methods[0]=TRACE", "at '/config/routes/0/methods/0': 'not' failed"),
    ("terminationGracePeriodSeconds=40s", "at '/terminationGracePeriodSeconds': got string, want integer"),
]


def template(helm, name, changes):
    sets = [part for change in changes for part in ("--set", change)]
    values = ["--values", VALUES / f"{name}.yaml"] if name else []
    return helm.run("template", "shop", CHART, "--kube-version", "1.37", *values, *sets)


@pytest.mark.parametrize("name,changes,words", BY_TEMPLATES)
def test_what_does_not_hold_together_is_refused(helm, name, changes, words):
    refused = template(helm, name, changes)
    assert refused.returncode != 0 and words in refused.stderr, refused.stderr + refused.stdout[:300]


@pytest.mark.parametrize("change,words", BY_SCHEMA)
def test_the_schema_refuses_it(helm, change, words):
    refused = helm.run("template", "shop", CHART, "--values", VALUES / "gateway.yaml", "--set", change)
    assert refused.returncode != 0 and words in refused.stderr, refused.stderr + refused.stdout[:300]


PASSWORD = "hunter2"
PASSWORDS = [
    ("issuer", "config.issuer.store.redis_url=redis://:hunter2@h:6379", "config.issuer.store.redis_url holds a password"),
    ("issuer", "config.issuer.store.redis_url=redis://u:hunter2@h:6379", 'and write "${REDIS_URL}" in config'),
    ("issuer", "config.issuer.store.redis_url=redis:/:hunter2@h", "config.issuer.store.redis_url holds a password"),
    ("issuer", "config.issuer.store.redis_url=redis://:hunter2/x@h", "config.issuer.store.redis_url holds a password"),
    ("issuer", "config.issuer.store.redis_url=${R:-redis://:hunter2@h:6379}", "redis_url holds a password"),
    ("issuer", "config.issuer.store.redis_url=redis://:hunter2@${HOST}:6379", "redis_url holds a password"),
    ("issuer", "env[0].name=REDIS_URL,env[0].value=redis://:hunter2@h:6379", "env[0].value holds a password"),
    ("issuer", "env[0].name=REDIS_URL,env[0].value=redis://:hunter2?/@h:6379", "env[0].value holds a password"),
    ("gateway", "config.upstream.url=http://u:hunter2@feast:6566", "config.upstream.url holds a user or a password"),
    ("gateway", "config.upstream.url=http//u:hunter2@feast:6566", "config.upstream.url holds a user or a password"),
    ("gateway", "config.upstream.engine_url=http://hunter2@feast", "config.upstream.engine_url holds a user or a password"),
    ("sidecar", "config.upstream.url=http://u:hunter2@127.0.0.1:6566", "config.upstream.url holds a user or a password"),
    (
        "gateway",
        "config.auth.issuers[0].keys.jwks_url=https://u:hunter2@idp.example/jwks",
        "config.auth.issuers[0].keys.jwks_url holds a user or a password",
    ),
    ("everything", "config.auth.opaque.introspection.url=https://u:hunter2@h/", "introspection.url holds a user or a password"),
    ("issuer", "config.issuer.url=https://u:hunter2@features.example", "config.issuer.url holds a user or a password"),
    ("issuer", "config.listen.public_url=https://u:hunter2@h", "config.listen.public_url holds a user or a password"),
]


@pytest.mark.parametrize("name,change,words", PASSWORDS)
def test_a_password_is_refused_and_not_repeated(helm, name, change, words):
    values = ["--values", VALUES / f"{name}.yaml", "--set", change]
    refused = helm.run("template", "shop", CHART, *values)
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0 and words in said and PASSWORD not in said, said
    linted = helm.run("lint", CHART, *values)  # which takes no refusal of a template for an error
    assert PASSWORD not in linted.stdout + linted.stderr


@pytest.mark.parametrize(
    "name,change",
    [
        ("issuer", "config.issuer.store.redis_url=redis://${USER}:${PASSWORD}@h:6379"),
        ("issuer", "config.issuer.store.redis_url=${REDIS_URL:-redis://h:6379}"),
        ("gateway", "config.auth.issuers[0].keys.jwks_url=https://idp.example/@me/jwks"),
        ("gateway", "config.upstream.url=${FEAST}"),
        ("gateway", "config.limits.inflight=${INFLIGHT:-100}"),
        ("gateway", "config.limits.response_body=${SIZE}"),
        ("gateway", "config.enforcement=${ENFORCEMENT}"),
        ("gateway", "config.allow_shrink=${SHRINK:-false}"),
        ("gateway", "config.drain=null"),
        ("gateway", "config.drain.delay=null"),
        ("gateway", "config.listen=null"),
        ("gateway", "config.metrics.address=null"),
        ("sidecar", "config.upstream.url=http://localhost:6566"),
        ("sidecar", "config.upstream.url=http://127.0.0.2"),
        ("sidecar", "config.upstream.url=http://[::1]:6566/"),
        ("sidecar", "config.upstream.url=unix:/run/feast.sock"),
        ("sidecar", "config.upstream.url=http://${POD_IP}:6566"),
        ("sidecar", "config.upstream.engine_url=${ENGINE}"),
    ],
)
def test_what_can_be_right_passes(helm, name, change):
    helm.done("template", "shop", CHART, "--values", VALUES / f"{name}.yaml", "--set", change)


def test_a_configuration_of_ones_own_needs_nothing_else(helm):
    for change in ("existingConfigMap=mine", "existingConfigMap=mine,mode=sidecar"):
        helm.done("template", "shop", CHART, "--set", change)


@pytest.mark.parametrize("change,words", [("config.limts.inflight=3", "'limts'"), ("config.upstream.dialect=feest", "'feast'")])
def test_lint_refuses_what_is_misspelt(helm, charts, change, words):
    refused = helm.run("lint", CHART, "--values", VALUES / "gateway.yaml", "--set", change)
    assert refused.returncode != 0 and words in refused.stdout + refused.stderr
    refused = helm.run("template", charts / "examples/feast-sidecar", "--set", f"tagwarden.{change}")
    assert refused.returncode != 0 and words in refused.stderr


def test_the_schema_has_that_of_the_configuration():
    schema = json.loads(values_schema.FILE.read_text())
    anew = values_schema.text(values_schema.embedded(schema, json.loads(values_schema.CONFIG.read_text())))
    if os.environ.get("TAGWARDEN_BLESS"):
        values_schema.FILE.write_text(anew)
    assert values_schema.FILE.read_text() == anew, "docs/schema/config.json is another: TAGWARDEN_BLESS=1 tests/run --only charts"


def rendered_with(helm, tmp_path, file):
    """A tagwarden.yaml as `config`; what would be refused for the sake of other values is seen to."""
    config = yaml.safe_load(file.read_text())
    values = {"config": config, "replicaCount": 1, "issuer": {"clientsSecretName": "clients"} if config.get("issuer") else {}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    return helm.run("template", "shop", CHART, "--values", tmp_path / "values.yaml")


CONFIGURATIONS = ROOT / "tests" / "schema"


@pytest.mark.parametrize("file", sorted(CONFIGURATIONS.glob("good/config-*.yaml")), ids=lambda file: file.stem)
def test_every_good_configuration_fits(helm, tmp_path, file):
    ended = rendered_with(helm, tmp_path, file)
    if file.stem == "config-issuer":  # a variable whose default has a password: right for the program, and plain in a manifest
        assert "config.issuer.store.redis_url holds a password" in ended.stderr
    else:
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("file", sorted(CONFIGURATIONS.glob("bad/config-*.yaml")), ids=lambda file: file.stem)
def test_every_bad_configuration_is_refused(helm, tmp_path, file):
    by_templates = {"config-no-issuer": "config accepts nobody", "config-issuer-plain-password": "redis_url holds a password"}
    ended = rendered_with(helm, tmp_path, file)
    assert ended.returncode != 0 and by_templates.get(file.stem, "at '/config") in ended.stderr, ended.stderr


def test_every_refusal_of_the_templates_is_tried(helm):
    text = "".join(file.read_text() for file in (CHART / "templates").glob("*.tpl"))
    messages = re.findall(r'\bfail (?:\(printf )?"((?:[^"\\]|\\.)*)"', text)
    assert len(messages) == text.count("fail ") > 20
    said = "".join(template(helm, name, changes).stderr for name, changes, _ in BY_TEMPLATES)
    said += "".join(template(helm, name, [change]).stderr for name, change, _ in PASSWORDS)
    patterns = {one: re.sub(r"%[sdv]", ".*", re.escape(re.sub(r"\\(.)", r"\1", one))) for one in messages}
    assert [one for one, pattern in patterns.items() if not re.search(pattern, said)] == []


def test_a_live_graph_goes_with_a_plain_sidecar(helm):
    values = [VALUES / "sidecar.yaml", *(f"--set={change}" for change in LIVE)]
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
