"""Helm and kubectl, what they render, and a pod's folders as the kubelet would fill them. There is no cluster: what a scheduler, a
kubelet or a network plug-in does with a manifest is not shown here."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tagwarden"
EXAMPLES = ROOT / "charts" / "examples"
VALUES = ROOT / "tests" / "charts" / "values"
GOLDEN = ROOT / "tests" / "golden" / "charts"
TAGWARDEN = Path(os.environ.get("TAGWARDEN_BIN") or ROOT / "target/debug/tagwarden").absolute()
TOOLS = Path(os.environ["TAGWARDEN_CHART_TOOLS"])
NEWEST = "1.37"
# The newest, the first that finds names of ports in native sidecars, the first with native sidecars, one without, the oldest.
RELEASES = [NEWEST, "1.32", "1.29", "1.28", "1.27"]
SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))


def run(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options)


def done(*command, **options):
    ended = run(*command, **options)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


class Helm:
    """Helm with folders of its own: nothing of whoever runs the tests is read or written."""

    def __init__(self, home):
        self.environment = os.environ | {
            f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")
        }

    def run(self, *arguments, **options):
        return run(TOOLS / "helm", *arguments, env=self.environment, **options)

    def done(self, *arguments, **options):
        return done(TOOLS / "helm", *arguments, env=self.environment, **options)

    def template(self, chart, *arguments, release=NEWEST):
        return self.done("template", "shop", chart, "--namespace", "features", "--kube-version", release, *arguments)


def kustomize(folder):
    return done(TOOLS / "kubectl", "kustomize", folder)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pods(manifests):
    """(owner, labels, spec) of each pod."""
    for manifest in of_kind(manifests, "Deployment"):
        template = manifest["spec"]["template"]
        yield manifest, template["metadata"]["labels"], template["spec"]
    for manifest in of_kind(manifests, "Pod"):
        yield manifest, manifest["metadata"]["labels"], manifest["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def sidecar(manifests):
    """The spec of the pod that has tagwarden in it, and that container."""
    ((spec, container),) = [
        (spec, container)
        for _, _, spec in pods(manifests)
        for container in containers(spec)
        if container["name"] == "tagwarden"
    ]
    return spec, container


def project(folder, files):
    """A folder as the kubelet writes it: the files behind a link that is swapped at a change."""
    first = folder / "..2026_11_23_00_00_00.1"
    first.mkdir(parents=True)
    for name, content in files.items():
        (first / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (folder / name).symlink_to(Path("..data", name))
    (folder / "..data").symlink_to(first.name)


def mount(manifests, given, root):
    """The folders of the tagwarden container below `root`, from ConfigMaps that were rendered and what is `given` by name."""
    spec, container = sidecar(manifests)
    rendered = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind(manifests, "ConfigMap")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for place in container["volumeMounts"]:
        volume, folder = volumes[place["name"]], root / place["mountPath"].lstrip("/")
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            project(folder, rendered.get(name) or given[name])
        elif "secret" in volume:
            project(folder, given[volume["secret"]["secretName"]])
        else:
            folder.mkdir(parents=True)
    config = root / "etc/tagwarden/config/tagwarden.yaml"
    real = config.resolve()
    # The paths in it begin at the root of the container, which is elsewhere here.
    text = real.read_text().replace("/etc/tagwarden/", f"{root}/etc/tagwarden/")
    real.write_text(text.replace("/var/lib/tagwarden", f"{root}/var/lib/tagwarden"))
    return config


def with_stand_ins(place):
    """A copy of the charts whose rules and dashboard are others: what is rendered does not change when those are edited."""
    shutil.copytree(ROOT / "charts", place, ignore=shutil.ignore_patterns("*.tgz", "Chart.lock"))
    files = place / "tagwarden" / "files"
    files.joinpath("prometheus-rules.yaml").write_text(
        "groups:\n  - name: stand-in\n    rules:\n      - alert: StandIn\n        expr: up == 0\n"
        '        annotations: {summary: "{{ $labels.pod }} is {{ $value }}"}\n'
    )
    files.joinpath("dashboard.json").write_text('{"title": "stand-in {{pod}}"}\n')
    return place
