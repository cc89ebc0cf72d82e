"""What is in the manifests works: the binary loads every configuration and serves by it, the test pod's script tells a sidecar that
answers from one that does not, and the README and docs/deployment.md show what is there."""

import http.client
import http.server
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import yaml
from cluster import CHART, EXAMPLES, ROOT, SETS, TAGWARDEN, TOOLS, documents, done, mount, of_kind, run, sidecar

PAGE = ROOT / "docs" / "deployment.md"
ENVIRONMENT = os.environ | {"REDIS_URL": "redis://:password@127.0.0.1:6379"}
# The values of the sidecar are mounted in pods of the parent chart.
EVERY = [*(name for name in SETS if name != "sidecar"), "sidecar-pods", "parent", "kustomize"]


@pytest.mark.parametrize("name", EVERY)
def test_the_binary_loads_what_is_mounted(manifests, given, tmp_path, name):
    config = mount(manifests(name), given, tmp_path)
    checked = run(TAGWARDEN, "check", "--config", config, env=ENVIRONMENT)
    assert checked.returncode == 0 and checked.stdout.startswith("0 errors, "), checked.stderr


@pytest.mark.parametrize("name", EVERY)
def test_every_file_that_it_names_is_mounted(manifests, given, tmp_path, name):
    """What `check` does not open: keys, certificates, secrets. Files that are made later are below the folder of data."""
    config = mount(manifests(name), given, tmp_path)
    named = re.findall(rf"{re.escape(str(tmp_path))}/[^\s\"',\]}}]+", config.read_text())
    assert named
    assert [path for path in named if not os.path.exists(path) and "/var/lib/tagwarden/" not in path] == []


def test_check_says_what_is_wrong(manifests, given, tmp_path):
    config = mount(manifests("gateway"), given, tmp_path)
    config.resolve().write_text(config.read_text().replace("upstream:", "upstraem:"))
    refused = run(TAGWARDEN, "check", "--config", config)
    assert refused.returncode == 3 and "upstraem" in refused.stderr


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Served:
    """The sidecar, as the container runs it but for its addresses."""

    def __init__(self, manifests, given, root, upstream):
        self.config = mount(manifests, given, root)
        _, self.container = sidecar(manifests)
        self.data, self.metrics, self.admin = free_port(), free_port(), free_port()
        settings = yaml.safe_load(self.config.read_text())
        settings["listen"]["address"] = f"127.0.0.1:{self.data}"
        settings["metrics"]["address"] = f"127.0.0.1:{self.metrics}"
        settings["admin"] = {"address": f"127.0.0.1:{self.admin}"}
        settings["upstream"] = {"url": upstream, "dialect": settings["upstream"]["dialect"]}
        for issuer in settings.get("auth", {}).get("issuers", []):  # nobody answers there
            issuer["keys"] = {"pem_file": str(self.key(root))}
        settings["drain"] = {"delay": "0s", "timeout": "5s"}
        self.config.resolve().write_text(yaml.safe_dump(settings))
        arguments = [part.replace("/etc/tagwarden/", f"{root}/etc/tagwarden/") for part in self.container["args"]]
        self.process = subprocess.Popen(
            [TAGWARDEN, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        try:
            self.wait("readyz", lambda status, _: status == 200)
        except BaseException:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1].decode()) from None

    @staticmethod
    def key(root):
        private, public = root / "private.pem", root / "public.pem"
        done("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
        done("openssl", "pkey", "-in", private, "-pubout", "-out", public)
        return public

    def wait(self, path, holds, port=None):
        """Until `holds` of the status and the body; gives both."""
        end = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < end, path
            connection = http.client.HTTPConnection("127.0.0.1", port or self.metrics, timeout=5)
            try:
                connection.request("GET", f"/{path}")
                answer = connection.getresponse()
                status, body = answer.status, answer.read().decode()
                if holds(status, body):
                    return status, body
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)

    def swap(self, folder, name, text):
        """A changed ConfigMap, as the kubelet brings it: a new folder, and the link `..data` renamed over the old one."""
        new = folder / f"..2026_11_23_00_00_00.{len(list(folder.iterdir()))}"
        shutil.copytree(folder / "..data", new)
        (new / name).write_text(text)
        (folder / "..data_tmp").symlink_to(new.name)
        (folder / "..data_tmp").rename(folder / "..data")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.mark.parametrize("name", ["gateway", "tls", "issuer-alone", "kustomize"])
def test_it_serves_by_what_is_mounted_and_the_test_pod_finds_it(manifests, given, tmp_path, upstream, name):
    served = Served(manifests(name), given, tmp_path, upstream)
    try:
        scheme = "https" if name == "tls" else "http"
        script = reach(manifests("tls" if name == "tls" else "gateway"))
        asked = run("sh", "-euc", script, env=os.environ | {"TARGET": f"{scheme}://127.0.0.1:{served.data}"})
        assert asked.returncode == 0 and asked.stdout.count("ok: ") == 3, asked.stdout + asked.stderr
        for probe in ("livenessProbe", "startupProbe"):
            served.wait(served.container[probe]["httpGet"]["path"].lstrip("/"), lambda status, _: status == 200)
        healthy = run(TAGWARDEN, "healthcheck", "--config", served.config, env=ENVIRONMENT)
        assert (healthy.returncode, healthy.stdout) == (0, "ready\n"), healthy.stderr
    finally:
        ended = served.stop()
    assert ended == 0


def test_a_changed_config_map_is_taken_up_and_a_wrong_one_takes_nobody_out(manifests, given, tmp_path, upstream):
    served = Served(manifests("gateway"), given, tmp_path, upstream)
    policies, config = tmp_path / "etc/tagwarden/policies", tmp_path / "etc/tagwarden/config"

    def status():
        return json.loads(served.wait("status", lambda status, _: status == 200, served.admin)[1])

    try:
        before = status()["policy_digest"]
        served.swap(policies, "policy.yaml", (policies / "policy.yaml").read_text().replace("AllowInternal", "Deny"))
        served.wait("status", lambda _, body: json.loads(body)["policy_digest"] != before, served.admin)
        served.swap(config, "tagwarden.yaml", "version: 1\nupstraem: {}\n")
        code, body = served.wait("readyz", lambda _, body: "stale" in body)
        assert code == 200 and json.loads(body)["ready"] is True, body
        # why the probe does not read the file
        assert run(TAGWARDEN, "healthcheck", "--config", served.config).returncode == 3
    finally:
        ended = served.stop()
    assert ended == 0


def reach(manifests):
    (pod,) = of_kind(manifests, "Pod")
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["sh", "-euc"]
    return container["args"][0]


def test_the_test_pod_fails_where_nobody_asks_for_a_token(manifests):
    class Open(Health):
        def do_POST(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Open)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        asked = run(
            "sh", "-euc", reach(manifests("gateway")), env=os.environ | {"TARGET": f"http://127.0.0.1:{server.server_port}"}
        )
    finally:
        server.shutdown()
    assert asked.returncode == 1 and "FAILED: a query without a token is 200 and not 401" in asked.stderr


@pytest.mark.parametrize("page", [CHART / "README.md", PAGE])
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if not link.startswith("https://")]
    assert links and [link for link in links if not (page.parent / link).exists()] == []


def leaves(node, path=""):
    for key, value in node.items():
        if (
            isinstance(value, dict)
            and value
            and path + key not in ("securityContext", "resources", "podSecurityContext", "dashboard.labels")
        ):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def test_every_value_is_in_the_table_with_its_default():
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.+) \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    table = {key: default for key, default, _ in rows}
    assert len(rows) == len(table)
    values = dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert list(table) == list(values), set(table) ^ set(values)
    for key, default in table.items():
        assert default == "" if values[key] in ("", None) else yaml.safe_load(default.strip("`")) == values[key], (
            key,
            default,
        )


# What a cluster is needed for; the programs know these words all the same.
IN_A_CLUSTER = [
    "kubectl -n features rollout status deployment/shop-tagwarden",
    "kubectl -n features rollout restart deployment/shop-tagwarden",
    "kubectl -n features port-forward deployment/shop-tagwarden 9901",
    "helm test shop -n features",
    "helm rollback shop -n features",
]


def commands():
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield " ".join(line.split())


def test_every_command_of_the_page_runs(helm, charts, tmp_path):
    """In a folder with what the page lists as there: the charts, the reader's files. What would change a cluster is rendered."""
    shutil.copytree(charts, tmp_path / "charts")
    example = EXAMPLES / "feast-kustomize"
    for name in ("policies/policy.yaml", "catalogue.yaml", "tagwarden.yaml"):
        shutil.copy(example / name, tmp_path)
    shutil.copy(ROOT / "tests/fixtures/feast/registry/registry-dump.json", tmp_path)
    for name in ("clients.yaml", "feature_store.yaml", "audit.key"):
        (tmp_path / name).write_text("version: 1\n")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/2026-11-23.pem").write_text("a key\n")
    path = f"{TOOLS}:{TAGWARDEN.parent}:{os.environ['PATH']}"
    ran, left = [], []
    for command in commands():
        if command in IN_A_CLUSTER:
            left.append(command)
            continue
        if command.startswith(("feast ", "kubectl apply -f ")):
            continue  # Feast's own (see COVERED in tests/it/docs.rs); and what the command before it printed
        command = command.removesuffix(" | kubectl apply -f -")
        command = re.sub(r"^kubectl (-n \S+ )?apply -k", "kubectl kustomize", command)
        command = re.sub(r"^helm (install|upgrade --install|upgrade)", "helm template --kube-version 1.37", command)
        ended = run(
            "sh", "-euc", command, cwd=tmp_path, env=helm.environment | {"PATH": path, "REDIS_URL": "redis://redis:6379"}
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        if command.startswith("kubectl") or command.startswith("helm template"):
            assert documents(ended.stdout), command
        ran.append(command)
    assert len(ran) >= 8, ran
    assert sorted(left) == sorted(IN_A_CLUSTER)
    for command in left:
        program, *words = shlex.split(command)
        verb = next(word for word in words if not word.startswith("-") and word != "features")
        assert "Usage:" in done(TOOLS / program, verb, "--help")


def test_what_the_page_shows_of_the_examples_is_there():
    """tests/it/docs.rs holds the text against the files."""
    names = set(re.findall(r"^# (charts/examples/\S+)$", PAGE.read_text(), re.MULTILINE))
    assert "charts/examples/feast-gateway.yaml" in names and len(names) >= 4, names
    assert all((ROOT / name).exists() for name in names)
