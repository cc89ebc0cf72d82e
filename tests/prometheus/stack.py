"""What is watched: two sidecars in front of a small feature server, and callers; and the Prometheus that watches."""

import json
import math
import random
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / "e2e"))

from support import AUDIENCE, ISSUER, TAGWARDEN, Process, ask, free_port, read  # noqa: E402

RULES = ROOT / "charts/tagwarden/files/prometheus-rules.yaml"
DASHBOARD = ROOT / "charts/tagwarden/files/dashboard.json"
DOCS = ROOT / "docs/monitoring.md"
SILENT_ISSUER = "https://silent.test/"  # its keys cannot be had
UPSTREAM_TIMEOUT = 0.5

CATALOGUE = """\
version: 1
features:
  "customer_id": {key: true}
  "customer:age": {joins: ["customer_id"]}
  "customer:country": {joins: ["customer_id"]}
  "customer:email": {tags: [pii], joins: ["customer_id"]}
  "customer:ssn": {tags: [secret], joins: ["customer_id"]}
"""
POLICY = f"""\
version: 1
roles:
  scoring: {{tags: {{pii: AllowInternal, secret: Deny}}, mode: reject}}
  marketing: {{tags: {{pii: AllowInternal, secret: Deny}}, mode: filter}}
bindings:
  - {{roles: [scoring], when: {{iss: "{ISSUER}", client_id: scoring}}}}
  - {{roles: [marketing], when: {{iss: "{ISSUER}", client_id: marketing}}}}
"""
# One role would get more, the other one less.
CANDIDATE = POLICY.replace("scoring: {tags: {pii: AllowInternal", "scoring: {tags: {pii: Allow").replace(
    "secret: Deny}, mode: filter", "secret: Deny}, default: AllowInternal, mode: filter"
)


class Served:
    """An HTTP server on a thread; `answer(method, path, body)` gives the status and the body."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, text = answer(self.command, self.path, body)
                head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                self.wfile.write(head.encode() + text)

            do_GET = do_POST = handle_any

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a caller that hung up
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class FeatureServer(Served):
    """Answers as Feast does, after some milliseconds. The entity says how it goes: 500 fails, 501 is no JSON, 502 hangs, 12 gets an
    address that nobody asked for."""

    def __init__(self):
        super().__init__(self.answer)
        self.random = random.Random(7)

    def answer(self, method, path, body):
        if method == "GET":
            return 200, b"{}"
        asked = json.loads(body)
        rows = asked["entities"]["customer_id"]
        time.sleep(0.002 + self.random.expovariate(1 / 0.004))
        if rows == [500]:
            return 500, b'{"detail":"the store is down"}'
        if rows == [501]:
            return 200, b"<html>no"
        if rows == [502]:
            time.sleep(UPSTREAM_TIMEOUT + 0.3)
        names = ["customer_id"] + [name.replace(":", "__") for name in asked["features"]]
        names += ["customer__email"] if rows == [12] and "customer:email" not in asked["features"] else []

        def column(values):
            return {
                "values": values, "statuses": ["PRESENT"] * len(rows),
                "event_timestamps": ["2026-01-01T00:00:00Z"] * len(rows),
            }

        results = [column(rows)] + [column([1] * len(rows)) for _ in names[1:]]
        return 200, json.dumps({"results": results, "metadata": {"feature_names": names}}).encode()


class Keys(Served):
    """The key sets of two issuers: one is there, the other one's server always fails."""

    def __init__(self, idp):
        super().__init__(lambda _, path, body: (200, idp.jwks.read_bytes()) if path == "/jwks" else (500, b"{}"))


class Sidecar:
    """`tagwarden serve`. Reloads are quick; the built-in issuer is on. `more`: further lines of its configuration."""

    def __init__(self, folder, upstream, keys, more=""):
        folder.mkdir()
        self.port, self.metrics = free_port(), free_port()
        self.policy, self.candidate, self.config = folder / "policy.yaml", folder / "next.yaml", folder / "tagwarden.yaml"
        self.policy.write_text(POLICY)
        self.candidate.write_text(CANDIDATE)
        (folder / "catalogue.yaml").write_text(CATALOGUE)
        (folder / "clients.yaml").write_text("version: 1\nclients: {}\n")
        self.config.write_text(textwrap.dedent(f"""\
            version: 1
            listen: {{address: "127.0.0.1:{self.port}"}}
            metrics: {{address: "127.0.0.1:{self.metrics}"}}
            admin: {{address: "127.0.0.1:{free_port()}"}}
            upstream: {{url: "http://127.0.0.1:{upstream.port}", dialect: feast, timeout: {int(UPSTREAM_TIMEOUT * 1000)}ms}}
            policies: policy.yaml
            catalogue: [catalogue.yaml]
            drain: {{delay: 1ms, timeout: 5s}}
            audit: {{log: audit.jsonl}}
            issuer: {{url: "http://127.0.0.1:{self.port}", audience: {AUDIENCE}, clients: clients.yaml, keys: keys, store: {{embedded: tokens.redb}}}}
            auth:
              issuers:
                - {{issuer: "{ISSUER}", audiences: [{AUDIENCE}], keys: {{jwks_url: "http://127.0.0.1:{keys.port}/jwks"}}}}
                - {{issuer: "{SILENT_ISSUER}", audiences: [{AUDIENCE}], keys: {{jwks_url: "http://127.0.0.1:{keys.port}/none"}}}}
            """) + more)
        self.process = Process([TAGWARDEN, "serve", "--config", self.config], folder / "log", cwd=folder)
        self.process.wait_ready(self.metrics, "/readyz", 60)

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=30) as answer:
            return answer.read().decode()

    def value(self, line):
        """Of a series, spelled as in the scrape; 0 where it is not there."""
        return next((float(x.rsplit(" ", 1)[1]) for x in self.scrape().splitlines() if x.startswith(line + " ")), 0.0)


AGE, EMAIL, SSN = "customer:age", "customer:email", "customer:ssn"
# of what is sent, each with its weight: who asks, for what, of which entity, and the status that it must get
KINDS = {
    "permitted": (30, "scoring", [AGE, "customer:country"], 1, 200),
    "filtered": (10, "marketing", [AGE, EMAIL], 2, 200),
    "refused": (7, "scoring", [SSN], 3, 403),
    "internal": (3, "scoring", [EMAIL], 4, 403),
    "surplus": (3, "marketing", [AGE, EMAIL], 12, 200),
    "nobody": (1, "stranger", [AGE], 5, 403),
    "forged": (1, "forged", [AGE], 6, 401),
    "expired": (1, "expired", [AGE], 7, 401),
    "anonymous": (1, None, [AGE], 8, 401),
    "no keys": (1, "no keys", [AGE], 9, 503),
    "ambiguous": (1, "scoring", [AGE, AGE], 10, 400),
    "elsewhere": (1, "scoring", None, 11, 404),
    "failing": (6, "scoring", [AGE], 500, 500),
    "unreadable": (2, "scoring", [AGE], 501, 502),
    "hanging": (1, "scoring", [AGE], 502, 504),
}
# where enforcement is suspended
AUDITED = {"refused": 200, "internal": 200, "nobody": 200, "unreadable": 200}


class Traffic:
    """Callers until `stop`; more and fewer of them, in waves. What came otherwise than it must is in `wrong`."""

    def __init__(self, sidecars, idp):
        self.sidecars, self.done, self.wrong = sidecars, Counter(), []
        self.tokens = {name: idp.token(name) for name in ("scoring", "marketing", "stranger")}
        self.tokens |= {
            "forged": idp.token("scoring")[:-8] + "AAAAAAAA",
            "expired": idp.token("scoring", age=7200),
            "no keys": idp.token("scoring", iss=SILENT_ISSUER),
            None: None,
        }
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(3)]
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()

    def one(self, kind, at):
        _, who, features, entity, status = KINDS[kind]
        if at == 1:
            status = AUDITED.get(kind, status)
        body = {"features": features or [AGE], "entities": {"customer_id": [entity]}}
        port, token = self.sidecars[at].port, self.tokens[who]
        if features is None:
            answer = ask(port, "POST", "/elsewhere", body, token=token)
        else:
            answer = read(port, body, token)
        self.done[at, kind, answer.status] += 1
        if answer.status != status:
            self.wrong.append((kind, at, answer.status, answer.body[:200]))

    def run(self, number):
        dice = random.Random(number)
        kinds, weights = list(KINDS), [kind[0] for kind in KINDS.values()]
        while not self.ended.is_set():
            self.one(dice.choices(kinds, weights)[0], at=dice.choices((0, 1), (3, 1))[0])
            wave = 1 + 0.7 * math.sin((time.monotonic() - self.begun) / 12)
            self.ended.wait(0.04 * wave * dice.uniform(0.5, 1.5))

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


def short(rules):
    """The rules with every `for` cut down, for alerts that a test can wait for."""
    lines = rules.splitlines()
    assert sum(line.strip().startswith("for:") for line in lines) > 10
    return "\n".join("        for: 1s" if line.strip().startswith("for:") else line for line in lines) + "\n"


class Prometheus:
    """A Prometheus of its own data folder, with a configuration and short rules."""

    def __init__(self, folder, config):
        folder.mkdir()
        self.port, self.config = free_port(), folder / "prometheus.yml"
        self.config.write_text(config)
        (folder / "prometheus-rules.yaml").write_text(short(RULES.read_text()))
        binary = shutil.which("prometheus")
        assert binary, "prometheus is not installed"
        self.process = Process(
            [binary, f"--config.file={self.config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            folder / "log", cwd=folder,
        )
        self.process.wait_ready(self.port, "/-/ready", 60)

    def get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error
        assert told["status"] == "success" and not told.get("warnings"), told
        return told["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]


def promtool(*arguments, text=None):
    """What promtool says, and whether it found fault."""
    tool = shutil.which("promtool")
    assert tool, "promtool is not installed"
    done = subprocess.run(
        [tool, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr
