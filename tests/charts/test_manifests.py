"""What is rendered: as it was blessed, by the schemas of Kubernetes, and with the properties that all of it has."""

import json
import os
import re
import shutil

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator
from cluster import (
    CHART,
    EXAMPLES,
    GOLDEN,
    NEWEST,
    RELEASES,
    ROOT,
    SETS,
    TOOLS,
    VALUES,
    containers,
    documents,
    kustomize,
    of_kind,
    pods,
    run,
    sidecar,
)
from properties import closed, faults

EVERY = [*SETS, "parent", "kustomize"]
# The patch does not depend on the release; it is a native sidecar, from 1.29 on.
TWICE = [(name, release) for name in EVERY for release in RELEASES if name != "kustomize" or release not in ("1.28", "1.27")]


def test_there_is_something_to_look_at():
    assert len(SETS) >= 6 and "gateway" in SETS, SETS


@pytest.mark.parametrize("name", SETS)
def test_lint_finds_nothing(helm, name):
    said = helm.done("lint", "--strict", CHART, "--values", VALUES / f"{name}.yaml")
    assert "0 chart(s) failed" in said and "WARNING" not in said and "ERROR" not in said, said


def test_the_chart_is_linted_without_values(helm):
    assert "0 chart(s) failed" in helm.done("lint", "--strict", CHART)


def test_the_example_chart_is_linted(helm, charts):
    said = helm.done("lint", "--strict", charts / "examples" / "feast-sidecar")
    assert "0 chart(s) failed" in said, said


@pytest.mark.parametrize("name,release", [(name, NEWEST) for name in EVERY] + [("parent", "1.29"), ("parent", "1.28")])
def test_golden(rendered, name, release):
    file = GOLDEN / (f"{name}.yaml" if release == NEWEST else f"{name}-{release}.yaml")
    text = rendered(name, release)
    if os.environ.get("TAGWARDEN_BLESS"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, f"{file} is not what is rendered; TAGWARDEN_BLESS=1 writes it anew"


def test_no_golden_file_is_left_over():
    names = {f"{name}.yaml" for name in EVERY} | {"parent-1.29.yaml", "parent-1.28.yaml"}
    assert {file.name for file in GOLDEN.iterdir()} == names


def unknown(given, known):
    """Fields of `given` that the model did not keep."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in known:
                yield key
            else:
                yield from (f"{key}.{rest}" for rest in unknown(value, known[key]))
    elif isinstance(given, list):
        for one, other in zip(given, known, strict=True):
            yield from unknown(one, other)


def validate(manifest, release):
    if manifest["apiVersion"] == "monitoring.coreos.com/v1":
        model = getattr(operator, manifest["kind"]).model_validate(manifest)
        kept = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
        assert list(unknown(manifest, kept)) == [], manifest["kind"]
    else:
        assert kubernetes_validate.validate(manifest, release, strict=True) == release


@pytest.mark.parametrize("name,release", TWICE)
def test_the_schemas_of_kubernetes_hold(manifests, name, release):
    for manifest in manifests(name, release):
        validate(manifest, release)


def test_the_schemas_refuse_what_is_wrong(manifests):
    (deployment,) = of_kind(manifests("gateway"), "Deployment")
    deployment["spec"]["template"]["spec"]["contianers"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="contianers"):
        validate(deployment, NEWEST)
    (monitor,) = of_kind(manifests("sidecar"), "PodMonitor")
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "1s"
    with pytest.raises(AssertionError, match="PodMonitor"):
        validate(monitor, NEWEST)
    monitor["spec"]["podMetricsEndpoints"][0] = {"interval": "often"}
    with pytest.raises(ValueError, match="string_pattern_mismatch"):
        validate(monitor, NEWEST)


@pytest.mark.parametrize("name,release", TWICE)
def test_the_properties_hold(manifests, given, name, release):
    assert faults(manifests(name, release), given) == []


def test_everything_has_every_kind(manifests):
    assert sorted(manifest["kind"] for manifest in manifests("everything")) == [
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ]
    assert sorted(manifest["kind"] for manifest in manifests("sidecar")) == [
        "ConfigMap",
        "ConfigMap",
        "NetworkPolicy",
        "PodMonitor",
        "PrometheusRule",
    ]
    # off until it is asked for
    assert {manifest["kind"] for manifest in manifests("gateway")} == {
        "ConfigMap",
        "Deployment",
        "Pod",
        "Service",
        "ServiceAccount",
    }


def test_config_maps_of_others_are_mounted_in_the_place_of_ours(helm):
    names = {
        "existingConfigMap": "c",
        "policies.existingConfigMap": "p",
        "catalogue.existingConfigMap": "k",
        "shadow.existingConfigMap": "s",
    }
    rendered = documents(helm.template(CHART, *(f"--set={key}={name}" for key, name in names.items())))
    assert of_kind(rendered, "ConfigMap") == []
    assert faults(rendered, names.values()) == []
    _, container = sidecar(rendered)
    assert [place["mountPath"] for place in container["volumeMounts"][:4]] == [
        f"/etc/tagwarden/{folder}" for folder in ("config", "policies", "catalogue", "shadow")
    ]


def test_the_parent_can_leave_it_out(helm, tmp_path, charts):
    """`condition: tagwarden.enabled`, as many charts have it."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v2",
                "name": "parent",
                "version": "0.1.0",
                "dependencies": [
                    {
                        "name": "tagwarden",
                        "version": "0.1.0",
                        "repository": f"file://{charts}/tagwarden",
                        "condition": "tagwarden.enabled",
                    }
                ],
            }
        )
    )
    helm.done("dependency", "update", tmp_path)
    values = yaml.safe_load((VALUES / "gateway.yaml").read_text())
    for enabled in (True, False):
        (tmp_path / "values.yaml").write_text(yaml.safe_dump({"tagwarden": values | {"enabled": enabled}}))
        assert bool(documents(helm.template(tmp_path))) is enabled


@pytest.mark.parametrize(
    "release,native,stop",
    [
        ("1.37", True, {"sleep": {"seconds": 5}}),
        ("1.30", True, {"sleep": {"seconds": 5}}),
        ("1.29", True, {"exec": {"command": ["sleep", "5"]}}),
        ("1.28", False, {"exec": {"command": ["sleep", "30"]}}),
    ],
)
def test_the_sidecar_is_native_where_the_cluster_has_it(manifests, release, native, stop):
    ((_, _, spec),) = pods(manifests("parent", release))
    assert [container["name"] for container in spec.get("initContainers", [])] == ["tagwarden"] * native
    assert [container["name"] for container in spec["containers"]] == ["feast"] + ["tagwarden"] * (not native)
    assert sidecar(manifests("parent", release))[1].get("restartPolicy") == ("Always" if native else None)
    assert spec["containers"][0]["lifecycle"] == {"preStop": stop}
    assert spec["terminationGracePeriodSeconds"] == 40


@pytest.mark.parametrize(
    "values,native,lifecycle",
    [
        (["sidecar.native=false"], False, {"preStop": {"sleep": {"seconds": 30}}}),
        (["sidecar.native=true", "sidecar.preStop=exec"], True, {"preStop": {"exec": {"command": ["sleep", "5"]}}}),
        (["sidecar.preStop=none"], True, None),
        (["config.drain.delay=1500ms"], True, {"preStop": {"sleep": {"seconds": 2}}}),
        (["config.drain.delay=0s"], True, None),
    ],
)
def test_what_the_release_says_can_be_overruled(helm, charts, values, native, lifecycle):
    sets = [f"--set=tagwarden.{value}" for value in values]
    ((_, _, spec),) = pods(documents(helm.template(charts / "examples" / "feast-sidecar", *sets)))
    assert ("initContainers" in spec) is native
    assert spec["containers"][0].get("lifecycle") == lifecycle


def test_the_patch_has_the_container_of_the_chart(manifests):
    def plain(name):
        _, container = sidecar(manifests(name))
        return container

    assert plain("kustomize") == plain("parent")


def test_the_patch_leaves_nothing_of_the_way_round(manifests):
    before = documents((EXAMPLES / "feast-kustomize/base/feast.yaml").read_text())
    # so the base is what is patched, and is open
    assert {"Service feast-feature-server", "Deployment feast-feature-server"} == {
        f"{manifest['kind']} {manifest['metadata']['name']}" for manifest in before
    }
    assert any("listens beyond the loopback address" in fault for fault in faults(before))
    (service,) = of_kind(manifests("kustomize"), "Service")
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    ((_, _, spec),) = pods(manifests("kustomize"))
    assert [port["containerPort"] for container in containers(spec) for port in container.get("ports", [])] == [8080, 9902]


def base_of_ones_own(folder, container="feast-feature-server"):
    """The example, before a Feast that is written otherwise: `args`, probes over HTTP, a number in the Service."""
    example = folder / "feast-kustomize"
    shutil.copytree(EXAMPLES / "feast-kustomize", example)
    file = example / "base/feast.yaml"
    deployment, service = documents(file.read_text())
    ((_, _, spec),) = pods([deployment])
    ask = {"httpGet": {"path": "/health", "port": 6566}, "periodSeconds": 10}
    spec["containers"][0] |= {
        "name": container,
        "command": ["feast", "serve"],
        "args": ["-h", "0.0.0.0", "-p", "6566"],
        "livenessProbe": ask,
        "readinessProbe": ask,
    }
    service["spec"]["ports"][0]["targetPort"] = 6566
    file.write_text(yaml.safe_dump_all([deployment, service]))
    settings = example / "kustomization.yaml"  # as the page says
    settings.write_text(settings.read_text().replace("targetPort, value: online", "targetPort, value: 6566"))
    return example


def test_the_patch_leaves_nothing_of_another_way_round(tmp_path):
    example = base_of_ones_own(tmp_path)
    assert any("listens beyond the loopback address" in fault for fault in faults(documents(kustomize(example / "base"))))
    rendered = documents(kustomize(example))
    assert faults(rendered) == []
    ((_, _, spec),) = pods(rendered)
    (feast,) = spec["containers"]
    assert feast["command"] == ["feast", "serve", "-h", "127.0.0.1", "-p", "6566"] and "args" not in feast
    for probe in ("livenessProbe", "readinessProbe"):
        assert feast[probe].keys() & {"exec", "grpc", "httpGet", "tcpSocket"} == {"exec"}, feast[probe]
    (service,) = of_kind(rendered, "Service")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [8080]
    for manifest in rendered:
        validate(manifest, NEWEST)


@pytest.mark.parametrize(
    "file,change,words",
    [
        ("base/feast.yaml", ("name: feast-feature-server\n          image", "name: feast\n          image"), "containers/0/name"),
        ("base/feast.yaml", ("targetPort: online", "targetPort: 6566"), "ports/0/targetPort"),
        ("sidecar.yaml", ("name: feast-feature-server\nspec", "name: feast\nspec"), "no matches for Id"),
    ],
)
def test_the_patch_refuses_other_names(tmp_path, file, change, words):
    shutil.copytree(EXAMPLES / "feast-kustomize", tmp_path / "feast-kustomize")
    changed = tmp_path / "feast-kustomize" / file
    assert change[0] in changed.read_text()
    changed.write_text(changed.read_text().replace(*change))
    refused = run(TOOLS / "kubectl", "kustomize", tmp_path / "feast-kustomize")
    assert refused.returncode != 0 and words in refused.stderr, refused.stderr + refused.stdout[:300]


def test_a_container_of_another_name_would_be_seen(tmp_path):
    """Without the look at its name that the example has."""
    example = base_of_ones_own(tmp_path, container="feast")
    settings = yaml.safe_load((example / "kustomization.yaml").read_text())
    del settings["patches"][0]
    (example / "kustomization.yaml").write_text(yaml.safe_dump(settings))
    assert any("listens beyond the loopback address" in fault for fault in closed(documents(kustomize(example)), ()))


def test_rules_and_dashboard_are_the_files_as_they_are(helm):
    rules = yaml.safe_load((CHART / "files/prometheus-rules.yaml").read_text())
    dashboard = (CHART / "files/dashboard.json").read_text()
    rendered = documents(helm.template(CHART, "--values", VALUES / "everything.yaml"))
    (rule,) = of_kind(rendered, "PrometheusRule")
    assert rule["spec"] == rules and rules["groups"]
    validate(rule, NEWEST)
    (shown,) = [m["data"] for m in of_kind(rendered, "ConfigMap") if "tagwarden.json" in m["data"]]
    assert shown["tagwarden.json"].rstrip("\n") == dashboard.rstrip("\n")
    json.loads(dashboard)


@pytest.mark.parametrize("page", ["docs/monitoring.md", "https://wiki.example/tagwarden/monitoring.md"])
def test_a_runbook_is_where_the_page_is_said_to_be(helm, page):
    rules = yaml.safe_load((CHART / "files/prometheus-rules.yaml").read_text())
    values = ["--values", VALUES / "everything.yaml", "--set", f"prometheusRule.docsUrl={page}"]
    (rule,) = of_kind(documents(helm.template(CHART, *values)), "PrometheusRule")

    def runbooks(groups):
        return [one["annotations"].pop("runbook_url") for group in groups for one in group["rules"] if "alert" in one]

    ours = runbooks(rules["groups"])
    assert len(ours) > 10 and runbooks(rule["spec"]["groups"]) == [f"{page}#{one.partition('#')[2]}" for one in ours]
    assert rule["spec"] == rules  # and nothing else is another


def test_the_package_has_everything_and_renders_the_same(helm, tmp_path, rendered, charts):
    helm.done("package", charts / "tagwarden", "--destination", tmp_path)
    (package,) = tmp_path.glob("*.tgz")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert package.name == f"tagwarden-{version}.tgz"
    assert helm.template(package, "--values", VALUES / "everything.yaml") == rendered("everything")


def test_the_versions_are_those_of_the_binary():
    cargo = (ROOT / "Cargo.toml").read_text().partition('\nversion = "')[2].partition('"')[0]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    example = yaml.safe_load((EXAMPLES / "feast-sidecar/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == cargo == example["dependencies"][0]["version"]


def test_the_image_that_the_page_builds_is_the_one_that_the_chart_has(manifests):
    _, container = sidecar(manifests("gateway"))
    for name in ("docs/install.md", "Dockerfile"):
        (built,) = re.findall(r"docker build .* --tag (\S+) \.$", (ROOT / name).read_text(), re.MULTILINE)
        assert container["image"].endswith(f"/{built}") and ":" in built, built
    page = (ROOT / "docs/install.md").read_text().replace("\\\n", "")
    (started,) = re.findall(r"^docker run .* (\S+)$", page, re.MULTILINE)
    assert started == built


@pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="there is no image to hold it against")
def test_the_command_is_where_the_image_has_it(manifests):
    image = (ROOT / "Dockerfile").read_text()
    (entry,) = [line for line in image.splitlines() if line.startswith("ENTRYPOINT ")]
    _, container = sidecar(manifests("gateway"))
    assert (
        json.loads(entry.removeprefix("ENTRYPOINT "))
        == container["command"]
        == container["readinessProbe"]["exec"]["command"][:1]
    )
    assert "USER 10001:10001" in image and "TAGWARDEN_CONFIG" not in image
