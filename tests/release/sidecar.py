"""The sidecar as the image runs it: files, a feature server behind, tokens, and the wait for /readyz."""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import random
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

SECRET = b"a secret of sixty-four bytes that signs the tokens of these tests"
QUERY = {"features": ["customer:age"], "entities": {"customer_id": [1]}}
POLICY = """\
version: 1
roles: {reader: {default: Allow}}
bindings: [{roles: [reader], when: {groups: readers}}]
features:
  customer_id: {key: true}
  customer:age: {joins: [customer_id]}
"""
CONFIG = """\
version: 1
listen: {address: "%(address)s:8080"}
metrics: {address: "%(address)s:9902"}
admin: {address: "%(address)s:9901"}
upstream: {url: "%(upstream)s", dialect: feast, timeout: 10s, connect_timeout: 5s}
auth:
  issuers:
    - {issuer: "https://idp.example/", audiences: [features], algorithms: [HS256], keys: {secret_file: secret}}
policies: policy.yaml
drain: {delay: 0s, timeout: 5s}
"""


def token():
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
    claims = {"iss": "https://idp.example/", "aud": "features", "sub": "a", "groups": ["readers"], "exp": int(time.time()) + 600}
    text = part(json.dumps({"alg": "HS256"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.digest(SECRET, text, hashlib.sha256))).decode()


def loopback():
    """An address that nobody else has, so that ports can be those of the documentation."""
    return "127.{}.{}.{}".format(*(random.randint(1, 250) for _ in range(3)))


class Features(http.server.BaseHTTPRequestHandler):
    """One feature, in Feast's form."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        column = lambda value: {"values": [value], "statuses": ["PRESENT"], "event_timestamps": ["2026-11-22T08:00:00Z"]}
        names = {"feature_names": ["customer_id", "customer__age"]}
        body = json.dumps({"metadata": names, "results": [column(1), column(36)]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def feature_server(certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Features)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def write_config(folder, address, upstream):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tagwarden.yaml").write_text(CONFIG % {"address": address, "upstream": upstream})
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "secret").write_bytes(SECRET)


class Jailed:
    """An image's command, in its root file system."""

    def __init__(self, image, root, address):
        self.image, self.root, self.address = image, root, address
        self.process = self.start(image.entrypoint + image.cmd, stderr=open(root.parent / "log", "wb"))

    def start(self, command, **how):
        jail = [sys.executable, Path(__file__).with_name("jail.py"), self.root, str(self.image.user), str(self.image.group)]
        return subprocess.Popen([*jail, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **how)

    def log(self):
        return (self.root.parent / "log").read_text()

    def ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            if get(self.address, 9902, "/readyz") == 200:
                return self
            time.sleep(0.01)
        raise AssertionError(f"not ready after {seconds} s: {self.log()}")

    def healthcheck(self):
        process = self.start(self.image.health, stderr=subprocess.PIPE)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out.decode(), errors.decode()

    def query(self):
        """Status and body of the answer."""
        headers = {"authorization": f"Bearer {token()}", "content-type": "application/json"}
        url = f"http://{self.address}:8080/get-online-features"
        request = urllib.request.Request(url, json.dumps(QUERY).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def status(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}

    def end(self):
        self.process.terminate()
        return self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def get(address, port, path):
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
