"""What tokens.py is made of: keys and tokens, a key server that counts, an upstream, the sidecar, and who asks it."""

import asyncio
import base64
import collections
import concurrent.futures
import hashlib
import http.client
import http.server
import json
import multiprocessing
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HERE = pathlib.Path(__file__).resolve().parent
AUDIENCE = "feature-server"
LIVES = 6 * 3600
QUERY = '{"features":["customer:age","customer:country"],"entities":{"customer_id":[1]}}'
TICK = os.sysconf("SC_CLK_TCK")


# Keys and tokens.


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Key:
    """A signing key of an issuer. It goes to other processes as PEM."""

    def __init__(self, issuer: str, kid: str, algorithm: str):
        made = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.issuer, self.kid, self.algorithm, self.pem = issuer, kid, algorithm, made.private_bytes(*pem)

    def jwk(self) -> dict:
        numbers = self.private().public_key().public_numbers()
        if self.algorithm == "RS256":
            public = {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": b64(numbers.e.to_bytes(3, "big"))}
        else:
            point = {name: b64(getattr(numbers, name).to_bytes(32, "big")) for name in "xy"}
            public = {"kty": "EC", "crv": "P-256", **point}
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def private(self):
        return serialization.load_pem_private_key(self.pem, None)


def sign(private, algorithm: str, signed: str) -> str:
    if algorithm == "RS256":
        return f"{signed}.{b64(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def unsigned(key: Key, jti: str, kid: str | None = None) -> str:
    """Header and claims as issuers write them."""
    now = int(time.time())
    header = {"alg": key.algorithm, "typ": "at+jwt", "kid": kid or key.kid}
    claims = {
        "iss": key.issuer, "aud": AUDIENCE, "sub": f"service-{jti}", "client_id": f"service-{jti}",
        "iat": now, "exp": now + LIVES, "jti": jti, "scope": "features.read", "groups": ["readers", "scoring"],
    }
    return ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


def tokens(work: tuple[list[Key], int, int]) -> list[str]:
    """Valid ones by these numbers, of each key in its turn."""
    keys, first, end = work
    private = [key.private() for key in keys]
    made = []
    for number in range(first, end):
        at = number % len(keys)
        made.append(sign(private[at], keys[at].algorithm, unsigned(keys[at], f"{number:016x}")))
    return made


def garbage(work: tuple[str, list[Key], list[str], int, int]) -> list[str]:
    """What is no token, of one kind, by these numbers; `good` are valid ones to spoil."""
    kind, keys, good, first, end = work
    dice = random.Random(f"{kind} {first}")
    made = []
    for number in range(first, end):
        key = keys[number % len(keys)]
        # Less than any modulus, so that the whole of the signature's arithmetic is done.
        signature = b64(b"\0" + dice.randbytes(255) if key.algorithm == "RS256" else dice.randbytes(64))
        if kind == "random bytes":
            made.append(".".join(b64(dice.randbytes(size)) for size in (60, 220, 64)))
        elif kind == "bad signature":
            made.append(f"{unsigned(key, f'{number:016x}')}.{signature}")
        elif kind == "unknown kid":
            made.append(f"{unsigned(key, f'{number:016x}', b64(dice.randbytes(12)))}.{signature}")
        else:
            parts = [bytearray(unb64(part)) for part in good[number % len(good)].split(".")]
            part = dice.choice(parts)
            part[dice.randrange(len(part))] ^= 1 << dice.randrange(8)
            made.append(".".join(b64(bytes(part)) for part in parts))
    return made


KINDS = ["random bytes", "bad signature", "unknown kid", "one bit changed"]


def spread(make, works: list) -> list[str]:
    """All that the works make, by as many processes as there are cores."""
    with concurrent.futures.ProcessPoolExecutor() as pool:
        return [line for made in pool.map(make, works) for line in made]


def many(keys: list[Key], count: int, first: int = 0) -> list[str]:
    step = max(1, -(-count // 8))
    return spread(tokens, [(keys, at, min(at + step, first + count)) for at in range(first, first + count, step)])


# Who the sidecar speaks to.


class Provider:
    """Key sets at /0, /1, …, and how often they were fetched."""

    def __init__(self, sets: list[list[Key]]):
        self.count, lock = 0, threading.Lock()
        texts = [json.dumps({"keys": [key.jwk() for key in keys]}).encode() for keys in sets]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                with lock:
                    self.count += 1
                text = texts[int(handler.path[1:])]
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(text)))
                handler.send_header("Cache-Control", "max-age=3600")
                handler.end_headers()
                handler.wfile.write(text)

            def log_message(handler, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            # All issuers are asked for at once.
            request_queue_size = 256

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def column(value) -> dict:
    return {"values": [value], "statuses": ["PRESENT"], "event_timestamps": ["1970-01-01T00:00:00Z"]}


class Answering(asyncio.Protocol):
    """One answer in Feast's layout to whatever is asked."""

    NAMES = ["customer_id", "customer__age", "customer__country"]
    BODY = json.dumps({"results": [column(1), column(33), column("NL")], "metadata": {"feature_names": NAMES}}).encode()
    ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY

    def connection_made(self, transport):
        self.transport, self.held = transport, b""

    def data_received(self, data):
        self.held += data
        while (head := self.held.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"(?i)content-length: (\d+)", self.held[:head])
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self.held) < end:
                return
            self.held = self.held[end:]
            self.transport.write(self.ANSWER)


def answer_always(to) -> None:
    async def run():
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(run())


class Upstream:
    """A feature server with a process of its own."""

    def __init__(self):
        here, there = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=answer_always, args=(there,), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{here.recv()}"


# The sidecar.

POLICY = """\
version: 1
roles: {reader: {tags: {pii: Deny}}}
bindings:
%s
features:
  customer_id: {key: true}
  customer:age: {joins: [customer_id]}
  customer:country: {joins: [customer_id]}
  customer:ssn: {tags: [pii], joins: [customer_id]}
"""


class Sidecar:
    """`serve` with these issuers, each with its binding and its keys at the provider; `more` is appended to the configuration."""

    def __init__(self, binary, folder, upstream, provider, issuers: list[str], more="", under=(), binding_each=True):
        folder.mkdir(parents=True)
        bound = [json.dumps(name) for name in issuers + re.findall(r"issuer: \{url: \"([^\"]+)", more)]
        wanted = bound if binding_each else [f"[{', '.join(bound)}]"]
        lines = (f"  - {{roles: [reader], when: {{iss: {name}, groups: readers}}}}" for name in wanted)
        (folder / "policy.yaml").write_text(POLICY % "\n".join(lines))
        known = [
            f'    - {{issuer: "{name}", audiences: [{AUDIENCE}], keys: {{jwks_url: "{provider.url}/{n}"}}}}'
            for n, name in enumerate(issuers)
        ]
        address = '{address: "127.0.0.1:0"}'
        (folder / "tagwarden.yaml").write_text(
            f"version: 1\nlisten: {address}\nmetrics: {address}\nadmin: {address}\n"
            f'upstream: {{url: "{upstream.url}", dialect: feast}}\naudit: {{log: /dev/null}}\ndrain: {{delay: 0ms, timeout: 5s}}\n'
            "auth:\n  issuers:\n" + "\n".join(known) + f"\npolicies: policy.yaml\n{more}"
        )
        self.folder, self.log = folder, folder / "log"
        command = [*under, binary, "serve", "--config", "tagwarden.yaml"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        self.pid = self.process.pid
        said = json.loads(self.wait(lambda: next((l for l in self.log.read_text().splitlines() if '"listening"' in l), None)))
        self.metrics_at = f"http://{said['metrics']}/metrics"
        self.port = int(said["data"].rsplit(":", 1)[1])
        self.wait(lambda: "fetches_total" in self.metrics() and self.keys() == len(bound) or None)

    def wait(self, ask):
        end = time.monotonic() + 60
        while (found := ask()) is None:
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                sys.exit(f"the sidecar does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        return found

    def metrics(self) -> str:
        with urllib.request.urlopen(self.metrics_at, timeout=30) as answer:
            return answer.read().decode()

    def metric(self, series: str) -> int:
        lines = (line for line in self.metrics().splitlines() if line.startswith(series + " "))
        return int(float(next(lines, " 0").rsplit(" ", 1)[1]))

    def keys(self) -> int:
        """How many issuers have keys."""
        return sum(1 for line in self.metrics().splitlines() if line.startswith("tagwarden_jwks_age_seconds{"))

    def cpu(self) -> float:
        """Seconds of the processor so far, user and system."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, name: str) -> float:
        """VmRSS or VmHWM in MiB."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        for line in self.log.read_text().splitlines():
            if "not read" in line or "panic" in line:
                print(line, file=sys.stderr)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# Who asks it.


def query(port: int) -> tuple[str, str]:
    """A query before and after its token."""
    head = f"POST /get-online-features HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(QUERY)}\r\nAuthorization: Bearer ", f"\r\n\r\n{QUERY}"


def post(path: str, kind: str, length: int, before: str, after: str = "") -> tuple[str, str]:
    """A request with a body of this length before and after its line."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    return head + before, after


class Load:
    """What came of some requests."""

    def __init__(self, statuses: dict, seconds: float, cpu: float):
        self.statuses, self.count = statuses, sum(statuses.values())
        self.rate, self.micros = self.count / seconds, cpu / self.count * 1e6

    def all(self, status: int) -> "Load":
        if set(self.statuses) != {str(status)}:
            sys.exit(f"not all answers are {status}: {self.statuses}")
        return self


def wrk(sidecar: Sidecar, lines: list[str], count: int = 0, parts=None, connections: int = 16, chain: str = "") -> Load:
    """Sends a request for each line, or `count` of them."""
    path = sidecar.folder / "lines"
    path.write_text("\n".join(lines) + "\n")
    prefix, suffix = parts or query(sidecar.port)
    environment = {**os.environ, "COUNT": str(count or len(lines)), "FILE": str(path), "PREFIX": prefix, "SUFFIX": suffix}
    environment.pop("CHAIN", None)
    if chain:
        environment["CHAIN"] = chain
    command = ["wrk", "-t1", f"-c{connections}", "-d1800s", "--timeout", "30s", "-s", str(HERE / "tokens.lua")]
    command.append(f"http://127.0.0.1:{sidecar.port}/")
    cpu, start = sidecar.cpu(), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds, cpu = time.monotonic() - start, sidecar.cpu() - cpu
    found = re.search(r"RESULT (.*)", done.stdout)
    if not found:
        sys.exit(f"wrk says nothing: {done.stdout}{done.stderr}")
    return Load(json.loads(found[1]), seconds, cpu)


def send(connection: http.client.HTTPConnection, path: str, body: str, kind: str) -> tuple[int, dict]:
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


class Connection:
    """A bare connection, for little work of our own beside each request."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parts = tuple(part.encode() for part in query(port))

    def status(self, token: str) -> int:
        self.socket.sendall(self.parts[0] + token.encode() + self.parts[1])
        held = b""
        while (head := held.find(b"\r\n\r\n")) < 0 or len(held) < head + 4 + self.length(held[:head]):
            if not (more := self.socket.recv(65536)):
                return 0
            held += more
        return int(held[9:12])

    @staticmethod
    def length(head: bytes) -> int:
        return int(re.search(rb"(?i)content-length: (\d+)", head)[1])


def go_on_asking(port: int, known: str, fresh: list[str], stop, to) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, statuses, took = Connection(port), collections.Counter(), []
    fresh = iter(fresh)
    while not stop.is_set():
        token = next(fresh, known) if len(took) % 10 == 9 else known
        start = time.perf_counter()
        try:
            status = connection.status(token)
        except OSError:
            status = 0
        took.append(time.perf_counter() - start)
        statuses[status] += 1
        if status == 0:
            connection = Connection(port)
        time.sleep(0.005)
    to.send((dict(statuses), took))


class GoodCaller:
    """Asks 5 ms after each answer, from a process of its own, one query in ten with a token that it never showed before."""

    def __init__(self, port: int, known: str, fresh: list[str]):
        self.stop_now, (self.here, there) = multiprocessing.Event(), multiprocessing.Pipe()
        arguments = (port, known, fresh, self.stop_now, there)
        self.process = multiprocessing.Process(target=go_on_asking, args=arguments, daemon=True)
        self.process.start()

    def stop(self) -> tuple[dict, list[float]]:
        """How often each status came (0: none), and how long each query took, in seconds."""
        self.stop_now.set()
        found = self.here.recv()
        self.process.join()
        return found


def kept(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()
