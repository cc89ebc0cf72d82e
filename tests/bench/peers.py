"""Who takes part in compare and flat.py: a fixed-answer upstream, proxies and sidecars, as processes of their own on 127.0.0.1, and
what /proc knows of them. Needs Linux."""

import dataclasses
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import made

TICK = os.sysconf("SC_CLK_TCK")
HERE = pathlib.Path(__file__).resolve().parent
# Where Debian has servers, which is on few people's path.
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NGINX_FROM = "apt-get install nginx-light"


class Broken(Exception):
    """A measurement that cannot be made."""


def program(name: str, how: str = "") -> str:
    found = shutil.which(name, path=SBIN)
    if not found:
        raise Broken(f"`{name}` is missing: {how or f'apt-get install {name}'}")
    return found


def free_port() -> int:
    """Below those that the kernel gives to others by itself, so that nobody takes it by chance."""
    for _ in range(100):
        port = random.randrange(18000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Broken("no free port between 18000 and 30000")


# Processes.


def stat(pid: int) -> tuple[int, float] | None:
    """The parent, and seconds of the processor in user and system mode; none where it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rsplit(") ", 1)[1].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK


class Process:
    """A command that listens on a port, with its children."""

    def __init__(self, name: str, command: list[str], folder: pathlib.Path, port: int | None = None):
        self.name, self.log = name, folder / "log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.port = port or int(self.wait(self.said)["data"].rsplit(":", 1)[1])
            self.wait(lambda: self.listens() or None)
        except BaseException:
            self.stop()
            raise

    def said(self) -> dict | None:
        """Where a sidecar says that it listens."""
        for line in self.log.read_text(errors="replace").splitlines():
            if '"listening"' in line:
                return json.loads(line)
        return None

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait(self, ask):
        end = time.monotonic() + 120
        while (found := ask()) is None:
            if self.child.poll() is not None or time.monotonic() > end:
                raise Broken(f"{self.name} does not start: {self.log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.02)
        return found

    def tree(self) -> set[int]:
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (found := stat(int(entry))):
                children.setdefault(found[0], []).append(int(entry))
        found, new = set(), [self.child.pid]
        while new:
            pid = new.pop()
            found.add(pid)
            new += children.get(pid, [])
        return found

    def cpu(self) -> float:
        return sum(found[1] for pid in self.tree() if (found := stat(pid)))

    def memory(self, field: str) -> float:
        """VmRSS or VmHWM of all processes together, in MiB; what they share counts for each."""
        total = 0
        for pid in self.tree():
            found = re.search(rf"{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
            total += int(found[1]) if found else 0
        return total / 1024

    def forget_peak(self) -> None:
        for pid in self.tree():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """By their numbers: the process, and what is left of its children."""
        if self.child.poll() is not None:
            return
        pids = self.tree()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            for pid in pids:
                if stat(pid):
                    os.kill(pid, signal.SIGKILL)
            self.child.wait()


# What they are told. `user` is for a container, where everybody is root and files are for root alone.

NGINX = """\
%(modules)s
daemon off; %(user)s worker_processes 1; pid %(folder)s/pid; error_log stderr warn;
events { worker_connections 2048; }
http {
  access_log off; keepalive_timeout 1h; keepalive_requests 100000000; client_body_buffer_size 128k;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
%(rest)s
}
"""

# nginx gives files to GET alone: a POST is answered by what stands in for 405. Files stay open, and are read by the megabyte.
UPSTREAM = """\
  default_type application/json; etag off; open_file_cache max=16; open_file_cache_valid 1h; output_buffers 2 1m;
  map $uri $kind { /get-online-features feast; /v1/query/online chalk; }
  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    location / { error_page 405 =200 /answers/$kind-$http_x_answer.json; return 405; }
    location /answers/ { internal; root %(folder)s; }
  }
"""

# The largest answer, 2 MB, fits in the buffers, and none goes to disk.
PLAIN = """\
  proxy_buffer_size 32k; proxy_buffers 72 32k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
  upstream features { server 127.0.0.1:%(upstream)d; keepalive 128; keepalive_timeout 1h; keepalive_requests 100000000; }
  %(before)s
  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    location / { %(hooks)s proxy_pass http://features; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
"""

# filter.lua's work between the two.
LUA_BEFORE = """\
lua_package_path "%(here)s/?.lua;;";
  init_by_lua_block { require("filter").read("%(folder)s/filter.json") }"""
LUA_HOOKS = " ".join(f"{at}_by_lua_block {{ require('filter').{what}() }}" for at, what in
                     (("access", "request"), ("header_filter", "head"), ("body_filter", "answer")))


# It verifies the token and looks at issuer, audience and expiry; bodies go through unread.
HAPROXY = """\
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  http-reuse always
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend callers
  bind 127.0.0.1:%(port)d
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(txn.alg,"%(key)s") -m int 1 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.iss') -m str %(issuer)s }
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.aud') -m str %(audience)s }
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int le 0 }
  default_backend features
backend features
  server one 127.0.0.1:%(upstream)d pool-max-conn -1
"""


@dataclasses.dataclass
class Grounds:
    """A folder, and what of it every peer shares."""

    folder: pathlib.Path
    upstream: int = 0
    running: list[Process] = dataclasses.field(default_factory=list)

    def start(self, *arguments) -> Process:
        self.running.append(Process(*arguments))
        return self.running[-1]

    def stop(self) -> None:
        for process in reversed(self.running):
            process.stop()

    def place(self, name: str) -> pathlib.Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def nginx(self, name: str, rest: str = PLAIN, folder: pathlib.Path | None = None, **lua: str) -> Process:
        folder, port = folder or self.place(name), free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        rest %= {"port": port, "folder": folder, "upstream": self.upstream, "before": lua.get("before", ""), "hooks": lua.get("hooks", "")}
        (folder / "nginx.conf").write_text(NGINX % {"modules": lua.get("modules", ""), "user": user, "folder": folder, "rest": rest})
        command = [program("nginx", NGINX_FROM), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        return self.start(name, command, folder, port)

    def nginx_lua(self, name: str, key: made.RsaKey) -> Process:
        said = subprocess.run([program("nginx", NGINX_FROM), "-V"], capture_output=True, text=True).stderr
        found = re.search(r"--modules-path=(\S+)", said)
        modules = [pathlib.Path(found[1] if found else "", f"{module}.so") for module in ("ndk_http_module", "ngx_http_lua_module")]
        if not all(module.exists() for module in modules):
            raise Broken("nginx has no Lua: apt-get install libnginx-mod-http-lua lua-cjson lua-luaossl")
        folder = self.place(name)
        names = [made.name("feast", number) for number in range(made.FEATURES) if made.tags(number) == ["pii"]]
        # As they are asked for, and as they are answered.
        denied = names + [each.replace(":", "__") for each in names]
        settings = {"key": key.public_pem.decode(), "issuer": made.ISSUER, "audience": made.AUDIENCE, "denied": denied}
        (folder / "filter.json").write_text(json.dumps(settings))
        load = " ".join(f"load_module {module};" for module in modules)
        return self.nginx(name, PLAIN, folder, modules=load, before=LUA_BEFORE % {"here": HERE, "folder": folder}, hooks=LUA_HOOKS)

    def feature_server(self, cells: set[tuple[str, str]]) -> Process:
        folder = self.place("upstream")
        (folder / "answers").mkdir()
        for kind, size in cells:
            (folder / "answers" / f"{kind}-{size}.json").write_bytes(made.compact(made.whole(kind, size)))
        process = self.nginx("upstream", UPSTREAM, folder)
        self.upstream = process.port
        return process

    def haproxy(self, name: str, key: made.RsaKey) -> Process:
        folder, port = self.place(name), free_port()
        (folder / "public.pem").write_bytes(key.public_pem)
        given = {"port": port, "upstream": self.upstream, "key": folder / "public.pem"}
        (folder / "haproxy.cfg").write_text(HAPROXY % {**given, "issuer": made.ISSUER, "audience": made.AUDIENCE})
        return self.start(name, [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], folder, port)

    def tagwarden(self, name: str, binary: str, kind: str, key: made.RsaKey) -> Process:
        folder = self.place(f"{name}-{kind}")
        (folder / "jwks.json").write_text(key.jwks())
        made.configuration(folder, kind, self.upstream, {"jwks_file": "jwks.json"}, "RS256", made.policy(kind))
        return self.start(name, [binary, "serve", "--config", "tagwarden.yaml"], folder)


# Who asks.


def ask(port: int, kind: str, size: str, token: str | None) -> tuple[int, bytes]:
    """Status and body of one query."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", "X-Answer": size}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", made.PATHS[kind], made.query(kind, size), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@dataclasses.dataclass
class Window:
    """What came of some seconds of load."""

    requests: int
    bytes: int
    rate: float
    p50: float
    p99: float
    errors: int
    micros: float
    peak: float


def order(kind: str, size: str, tokens: pathlib.Path) -> dict[str, str]:
    """What beside.lua is told by its environment."""
    body = tokens.parent / f"{kind}-{size}.query"
    body.write_bytes(made.query(kind, size))
    others = {key: value for key, value in os.environ.items() if key not in ("FIRST", "PAUSE", "LOG")}
    return {**others, "PATH_ASKED": made.PATHS[kind], "ANSWER": size, "BODY": str(body), "TOKENS": str(tokens)}


def wrk(process: Process, kind: str, size: str, tokens: pathlib.Path, connections: int, seconds: int, first: int = 0) -> Window:
    """All connections at once, each with its next request when the answer to the last is there. Latencies are in milliseconds,
    the peak of memory is in MiB and since it was last forgotten."""
    environment = order(kind, size, tokens) | {"FIRST": str(first)}
    command = [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(HERE / "beside.lua")]
    before = process.cpu()
    done = subprocess.run([*command, f"http://127.0.0.1:{process.port}/"], env=environment, capture_output=True, text=True)
    cpu = process.cpu() - before
    found = re.search(r"RESULT (.*)", done.stdout)
    if not found:
        raise Broken(f"wrk says nothing: {done.stdout}{done.stderr}")
    of = json.loads(found[1])
    if of["requests"] == 0:
        raise Broken(f"{process.name} answers nothing: {process.log.read_text(errors='replace')[-1500:]}")
    return Window(
        requests=of["requests"], bytes=of["bytes"], rate=of["requests"] / of["micros"] * 1e6, p50=of["p50"] / 1e3,
        p99=of["p99"] / 1e3, errors=of["statuses"] + of["sockets"], micros=cpu / of["requests"] * 1e6,
        peak=process.memory("VmHWM"),
    )
