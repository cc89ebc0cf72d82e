"""Twenty sidecars of one configuration: what they share, and how long a change needs to reach the last of them.

They share one configuration, one policy folder (both mounted as Kubernetes mounts a ConfigMap), clients and signing keys, one
Redis, one endpoint with a key set, and one upstream. What differs is the variable REPLICA, which gives each an address of its own
at that endpoint: so it is told who asked.
"""

import hashlib
import http.client
import json
import os
import re
import secrets
import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from issuer import ClientCommand, section, write_signing_key
from support import AUDIENCE, ISSUER, READ, TAGWARDEN, Process, wait_for

SIZE = 20
URL = "https://tokens.test/"
MAX_STALE = 3
UPSTREAM = Path(__file__).resolve().parent / "fleet_upstream.py"
A, B = "customer:a", "customer:b"
BOTH = {"features": [A, B], "entities": {"customer_id": [1]}}


def mount(folder, version, files):
    """As Kubernetes mounts a ConfigMap: names that lead through `..data`, which one rename swaps. The time of that."""
    inside = folder / f"..2026_{version}"
    inside.mkdir(parents=True)
    for name, text in files.items():
        (inside / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    data, beside = folder / "..data", folder / "..data_tmp"
    old = data.readlink() if data.is_symlink() else None
    beside.symlink_to(inside.name)
    begun = time.monotonic()
    beside.rename(data)
    if old:
        shutil.rmtree(folder / old)
    return begun


class KeyServer:
    """The key set of an issuer, at `/jwks/N` for the sidecar N; it can be out of order, or away. `asked` has the time, the
    sidecar and the status of each request."""

    def __init__(self):
        self.asked, self.keys, self.status, self.port, self.server = [], [], 200, 0, None
        self.add_key()
        self.come()

    def add_key(self):
        """From now on there is one more key, which signs."""
        self.signing, name = ec.generate_private_key(ec.SECP256R1()), f"key-{len(self.keys) + 1}"
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.signing.public_key(), as_dict=True)
        self.keys.append(public | {"kid": name, "alg": "ES256", "use": "sig"})

    def token(self, key=None, kid=None):
        """Of the caller that the policy knows, by the newest key."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "client_id": "shop", "iat": now, "exp": now + 3600}
        headers = {"kid": kid or self.keys[-1]["kid"]}
        return jwt.encode(claims, key or self.signing, algorithm="ES256", headers=headers)

    def since(self, begun, status=200):
        """How often each sidecar asked after that and was answered so; those who did not are left out."""
        seen = [replica for at, replica, was in list(self.asked) if at >= begun and was == status]
        return {replica: seen.count(replica) for replica in seen}

    def come(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status = outer.status
                outer.asked.append((time.monotonic(), int(self.path.removeprefix("/jwks/")), status))
                body = json.dumps({"keys": outer.keys}).encode() if status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Cache-Control", "max-age=3600")  # nobody asks again by itself meanwhile
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 100
            daemon_threads = True

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def go(self):
        """Its port is closed."""
        self.server.shutdown()
        self.server.server_close()


def signing_key():
    """A key of the built-in issuer that is in no folder yet, as PEM, and a token of the client `shop` that it signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), int(time.time())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    hashed = json.dumps({name: public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":")).encode()
    kid = jwt.utils.base64url_encode(hashlib.sha256(hashed).digest()).decode()  # RFC 7638
    claims = {
        "iss": URL, "aud": AUDIENCE, "sub": "shop", "client_id": "shop", "iat": now, "exp": now + 600, "groups": ["scoring"],
        "jti": secrets.token_hex(16),
    }
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid, "typ": "at+jwt"})


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


class Member:
    """One sidecar. Its ports are the kernel's choice, and read from its log."""

    def __init__(self, fleet, number):
        self.number, self.fleet, self.env = number, fleet, fleet.env | {"REPLICA": str(number)}
        self.config, self.process, self.logs = fleet.config, None, []

    def start(self, within=()):
        """`within`: a command that runs it."""
        command = [*within, TAGWARDEN, "serve", "--config", self.config]
        self.logs.append(self.fleet.folder / f"log-{self.number}-{len(self.logs)}")
        self.process = Process(command, self.logs[-1], env=self.env)

    def listens(self):
        pattern = r'"data":"127.0.0.1:(\d+)","metrics":"127.0.0.1:(\d+)","admin":"127.0.0.1:(\d+)"'

        def listens():
            assert self.process.child.poll() is None, f"it ended with {self.process.child.returncode}:\n{self.process.tail()}"
            return re.search(pattern, self.process.log.read_text())

        found = wait_for(listens, f"the ports of sidecar {self.number}", 60)
        self.port, self.metrics, self.admin = map(int, found.groups())

    def ready(self):
        self.process.wait_ready(self.metrics, "/readyz", 60)

    def memory(self):
        """Resident, and its share of it where pages are shared, in MiB."""
        text = Path(f"/proc/{self.process.child.pid}/smaps_rollup").read_text()
        return [int(re.search(rf"^{name}: +(\d+) kB$", text, re.M)[1]) / 1024 for name in ("Rss", "Pss")]


class Fleet:
    """The sidecars, and what they share."""

    def __init__(self, folder, redis, size=SIZE):
        self.folder, self.redis = folder, redis
        self.env = {name: value for name, value in os.environ.items() if name != "RUST_LOG"} | {"TOKENS_URL": redis.url}
        self.versions, self.which, self.denied = 0, 0, "x"
        self.policies, self.settings, self.keys = folder / "policies", folder / "settings", folder / "keys"
        self.config = self.settings / "tagwarden.yaml"
        self.key_server = KeyServer()
        self.all = [Member(self, number) for number in range(1, size + 1)]
        self.upstream = Process([sys.executable, UPSTREAM], folder / "upstream.log")
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        listens = lambda: re.search(r"listening on (\d+)\n", self.upstream.log.read_text())  # noqa: E731
        self.upstream_port = int(wait_for(listens, "the upstream", 30)[1])
        write_signing_key(self.keys)
        self.mount_policies()
        self.mount_settings()
        self.command = ClientCommand(self.all[0])
        self.clients = {name: self.command.add(name) for name in ("shop", "other")}

    def start(self):
        for member in self.all:
            member.start()
        for member in self.all:
            member.listens()

    def stop(self):
        started = [member.process for member in self.all if member.process]
        for process in started:
            process.child.terminate()
        for process in started:
            process.child.wait(30)  # a second signal would end it at once
            process.stop()

    def close(self):
        self.stop()
        self.upstream.stop()
        self.key_server.go()

    # What they all read. Each gives the time of the change.

    def mount_settings(self, more=""):
        self.versions += 1
        text = f"""\
version: 1
threads: 1
listen: {{address: "127.0.0.1:0"}}
metrics: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{self.upstream_port}", dialect: feast}}
policies: {self.policies}
drain: {{delay: 1ms, timeout: 5s}}
audit: {{log: "{self.folder}/audit-${{REPLICA}}.jsonl"}}
auth:
  issuers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      algorithms: [ES256]
      keys: {{jwks_url: "http://127.0.0.1:{self.key_server.port}/jwks/${{REPLICA}}"}}
""" + section(
            URL, f"keys: {self.keys}", f"clients: {self.folder / 'clients.yaml'}",
            'store: {redis_url: "${TOKENS_URL}"}', f"revocations: {{max_stale: {MAX_STALE}s}}",
        ) + more
        return mount(self.settings, self.versions, {"tagwarden.yaml": text})

    def roles(self):
        tags = f"{{{self.denied}: Deny, {'y' if self.denied == 'x' else 'x'}: Allow}}"
        return f"""\
version: 1
roles:
  shop: {{mode: filter, tags: {tags}}}
bindings:
  - {{roles: [shop], when: {{iss: "{ISSUER}", client_id: shop}}}}
  - {{roles: [shop], when: {{iss: "{URL}", groups: scoring}}}}
features:
  customer_id: {{key: true}}
"""

    def mount_policies(self):
        self.versions += 1
        tagged = lambda name, tag: f'version: 1\nfeatures:\n  "{name}": {{tags: [{tag}], joins: [customer_id]}}\n'  # noqa: E731
        tags = ("x", "y") if self.which == 0 else ("y", "x")
        files = {"a.yaml": tagged(A, tags[0]), "b.yaml": tagged(B, tags[1]), "roles.yaml": self.roles()}
        return mount(self.policies, self.versions, files)

    def swap_policies(self):
        """What was denied is allowed, and the other way round. Two files say it together: who has one of them old and one of
        them new allows both or none."""
        self.which = 1 - self.which
        return self.mount_policies()

    def write_roles(self):
        """The same by a file that is written in place."""
        self.denied = "y" if self.denied == "x" else "x"
        text = self.roles()
        begun = time.monotonic()
        (self.policies / "roles.yaml").write_text(text)
        return begun

    def write_key(self, name, pem, seconds_old=0):
        """One more signing key of the issuer, whole at once. The newest signs."""
        beside = self.keys / f".{name}"
        beside.write_bytes(pem)
        changed = time.time() - seconds_old
        os.utime(beside, (changed, changed))
        begun = time.monotonic()
        beside.rename(self.keys / name)
        return begun

    def shown(self):
        """What the policy of now lets through."""
        return A if (self.which == 0) == (self.denied == "y") else B


# What a query shows: the feature that came through, or a status. Anything else is strange to whoever watches.


def feature(status, body):
    if status != 200:
        return status
    names = json.loads(body)["metadata"]["feature_names"]
    return {("customer_id", "a"): A, ("customer_id", "b"): B}.get(tuple(names), f"a mix: {names}")


def status_alone(status, body):
    return status


class Watch:
    """Asks each sidecar again and again, each in a thread of its own and over one connection, until the block ends. Every answer
    is held against `expected`; what changes is kept with its time."""

    def __init__(self, fleet, token, expected, verdict=status_alone, request=("POST", READ, BOTH), every=0.03, members=None):
        self.members, self.token, self.expected, self.verdict = members or fleet.all, token, expected, verdict
        self.every = every
        method, path, body = request
        self.request = (method, path, json.dumps(body) if body else None)
        self.over, self.strange = threading.Event(), []
        self.changes = {member.number: [] for member in self.members}  # of (begun, ended, verdict), where it is another one
        self.last = {member.number: (0.0, None) for member in self.members}  # when the last one began, and its verdict
        self.answers = {member.number: 0 for member in self.members}
        self.threads = [threading.Thread(target=self.run, args=[member], daemon=True) for member in self.members]

    def run(self, member):
        number, before = member.number, object()
        connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=30)
        try:
            while not self.over.is_set():
                headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
                begun = time.monotonic()
                connection.request(*self.request, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                ended, verdict = time.monotonic(), self.verdict(answer.status, body)
                if verdict not in self.expected:
                    self.strange.append((number, verdict, body[:200]))
                if verdict != before:
                    self.changes[number].append((begun, ended, verdict))
                before = verdict
                self.answers[number] += 1
                self.last[number] = (begun, verdict)
                self.over.wait(self.every)
        except BaseException as error:
            self.strange.append((number, repr(error), b""))
        finally:
            connection.close()

    def reached(self, verdict, since, what, timeout=30):
        """Waits until all answer like this; how long after `since` the last of them did for the first time. From then on it must
        be all that it answers."""
        done = lambda: all(began > since and last == verdict for began, last in list(self.last.values()))  # noqa: E731
        wait_for(lambda: self.strange or done(), what, timeout)
        assert not self.strange, self.strange[:3]
        took = []
        for number, changes in self.changes.items():
            new = [(ended, seen) for _, ended, seen in changes if ended > since]
            assert [seen for _, seen in new] == [verdict], f"sidecar {number} answered {new}"
            took.append(new[0][0] - since)
        return max(took)

    def all_say(self, verdict, what, timeout):
        """Waits until the last answer of each is this one, whatever it said before."""
        wait_for(lambda: self.strange or all(last == verdict for _, last in list(self.last.values())), what, timeout)
        assert not self.strange, self.strange[:3]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.strange or all(self.answers.values()), "an answer of each sidecar", 30)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.strange, self.strange[:3]


def at_once(fleet, tokens, count):
    """Asks each sidecar `count` times at the same moment, every time over a connection of its own; `tokens` gives each its
    token. The statuses of each sidecar."""
    connections = []
    for member in fleet.all:
        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=60)
            connection.connect()
            connections.append((member.number, connection))
    body = json.dumps(BOTH)
    for _, connection in connections:
        headers = {"Authorization": f"Bearer {tokens()}", "Content-Type": "application/json"}
        connection.request("POST", READ, body, headers)
    seen = {member.number: [] for member in fleet.all}
    for number, connection in connections:
        answer = connection.getresponse()
        answer.read()
        seen[number].append(answer.status)
        connection.close()
    return seen
