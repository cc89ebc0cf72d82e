"""What is said after an installation: where callers go, and what has to be there that the release does not make."""

import re

import pytest
from cluster import SETS, VALUES, containers, of_kind, pods, run
from test_contents import ENVIRONMENT, Served, upstream  # noqa: F401 (a fixture)

# The values of the sidecar are looked at in the pods of the parent chart.
EVERY = [*(name for name in SETS if name != "sidecar"), "parent"]


@pytest.fixture
def notes(helm, charts):
    def said(name):
        chart = charts / ("examples/feast-sidecar" if name == "parent" else "tagwarden")
        values = [] if name == "parent" else ["--values", VALUES / f"{name}.yaml"]
        text = helm.done("install", "shop", chart, "--namespace", "features", "--dry-run=client", *values)
        return text.partition("\nNOTES:\n")[2]

    return said


def referred(manifests):
    """`kind/name` of what pods and the Ingress name, less what is rendered."""
    found = set()
    for _, _, spec in pods(manifests):
        for volume in spec.get("volumes", []):
            found |= {f"configmap/{volume['configMap']['name']}"} if "configMap" in volume else set()
            found |= {f"secret/{volume['secret']['secretName']}"} if "secret" in volume else set()
            claim = volume.get("persistentVolumeClaim")
            found |= {f"persistentvolumeclaim/{claim['claimName']}"} if claim else set()
        found |= {f"secret/{one['name']}" for one in spec.get("imagePullSecrets", [])}
        for container in containers(spec):
            for one in container.get("envFrom", []):
                found |= {f"{kind.removesuffix('Ref').lower()}/{ref['name']}" for kind, ref in one.items()}
            for one in container.get("env", []):
                source = one.get("valueFrom", {})
                found |= {f"{kind.removesuffix('KeyRef').lower()}/{ref['name']}" for kind, ref in source.items()}
    for ingress in of_kind(manifests, "Ingress"):
        found |= {f"secret/{one['secretName']}" for one in ingress["spec"].get("tls", [])}
    return found - {f"{manifest['kind'].lower()}/{manifest['metadata']['name']}" for manifest in manifests}


@pytest.mark.parametrize("name", EVERY)
def test_what_the_release_does_not_make_is_listed(manifests, notes, name):
    text, wanted = notes(name), referred(manifests(name))
    assert set(re.findall(r"^  ((?:secret|configmap|persistentvolumeclaim)/\S+) \(.+\)$", text, re.MULTILINE)) == wanted
    asked = re.findall(r"^  kubectl -n features get (.+)$", text, re.MULTILINE)
    assert [set(line.split()) for line in asked] == ([wanted] if wanted else [])


def test_something_is_listed(manifests):
    assert len(set().union(*(referred(manifests(name)) for name in EVERY))) > 10


@pytest.mark.parametrize("name", EVERY)
def test_the_address_is_that_of_the_service(manifests, notes, name):
    scheme, service, port, asked = re.search(r"^(https?)://(\S+)\.features:(\d+) \((.+)\)\.$", notes(name), re.MULTILINE).groups()
    ports = {one["metadata"]["name"]: one["spec"]["ports"] for one in of_kind(manifests(name), "Service")}
    assert [(one["name"], one["port"]) for one in ports[service]] == [(scheme, int(port))]
    assert asked == ("Chalk's clients have it as their API server" if name.startswith("chalk") else "POST /get-online-features")


def test_callers_from_outside_are_told_the_host(notes):
    assert "From outside: features.example." in notes("everything")
    assert "From outside" not in notes("gateway")


def test_the_parts_that_are_named_are_there(manifests, notes):
    for name in EVERY:
        there = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in manifests(name)}
        named = set(re.findall(r"(?:deployment|service)/\S+", notes(name)))
        assert named and named <= there, named


def test_the_example_says_how_it_is_tried(manifests, notes, given, tmp_path, upstream):  # noqa: F811
    (line,) = re.findall(r"^  (curl .+)$", notes("parent"), re.MULTILINE)
    served = Served(manifests("parent"), given, tmp_path, upstream)
    try:
        asked = run("sh", "-euc", line.replace("127.0.0.1:8080", f"127.0.0.1:{served.data}"), env=ENVIRONMENT)
    finally:
        served.stop()
    assert asked.returncode == 0 and asked.stdout.startswith("HTTP/1.1 401 "), asked.stdout + asked.stderr
