"""The image: what the Dockerfile says is linted, put together, and run in its own root as its own user, read-only."""

import os
import re
import shutil
import subprocess
import sys

import pytest

import image
import sidecar
from resolver import Resolver

may = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode == 0
needs_root = pytest.mark.skipif(not may, reason="a root file system of one's own needs root and CAP_SYS_ADMIN")
HADOLINT = os.path.join(os.path.dirname(sys.executable), "hadolint")


@pytest.fixture(scope="module")
def described():
    return image.Image()


def test_hadolint_finds_nothing_and_would(tmp_path):
    run = subprocess.run([HADOLINT, image.REPOSITORY / "Dockerfile"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, ""), run
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM rust:latest\nRUN cd /\n")
    assert subprocess.run([HADOLINT, bad], stdout=subprocess.DEVNULL).returncode == 1


def test_it_says_what_the_documentation_says(described):
    version = re.search(r'^version = "(.*)"', (image.REPOSITORY / "Cargo.toml").read_text(), re.M)[1]
    assert described.labels["org.opencontainers.image.version"] == version
    assert described.labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert (described.base, described.user, described.group) == ("scratch", 10001, 10001)
    assert described.entrypoint == ["/tagwarden"] == described.health[:1]
    assert described.cmd == ["serve", "--config", "/etc/tagwarden/tagwarden.yaml"]
    assert described.cmd[1:] == described.health[2:]
    assert described.ports == {8080, 9901, 9902}
    base, steps = described.build
    rust = re.search(r'^rust-version = "(.*)"', (image.REPOSITORY / "Cargo.toml").read_text(), re.M)[1]
    assert re.fullmatch(rf"rust:{re.escape(rust)}\.\d+-bookworm AS build", base)
    assert ("RUN", "tests/release/compile . /out/tagwarden") in steps


def test_the_build_gets_what_it_reads_and_nothing_else(tmp_path):
    image.context(tmp_path)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {name.split("/")[0] for name in files} == {"Cargo.toml", "Cargo.lock", "LICENSE", "src", "policies", "tests"}
    assert not image.let_through(".git/config") and not image.let_through("target/x") and not image.let_through(".env")
    assert not image.let_through("tests/fixtures/signing-key.pem")
    assert os.access(tmp_path / "tests/release/compile", os.X_OK)
    metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    subprocess.run(metadata, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    # Files that are compiled in; tests' own are not.
    for source in (tmp_path / "src").rglob("*.rs"):
        if "tests" in source.relative_to(tmp_path).parts or source.name == "tests.rs":
            continue
        for path in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text().split("#[cfg(test)]")[0]):
            assert (source.parent / path).is_file(), (source, path)


def test_the_binary_needs_nothing_of_the_machine(binary):
    look = ["readelf", "--wide", "--program-headers", "--dynamic"]
    said = subprocess.run([*look, binary], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in said and "(NEEDED)" not in said, said
    assert re.search(r"\(FLAGS_1\).*PIE", said), "its addresses are not random"
    other = subprocess.run([*look, os.path.realpath(sys.executable)], capture_output=True, text=True, check=True).stdout
    assert "INTERP" in other and "(NEEDED)" in other


@pytest.fixture
def root(described, binary, tmp_path):
    root = tmp_path / "root"
    described.assemble(root, binary)
    (root / "etc/hosts").write_text("127.0.0.1 localhost listed.test\n")
    return root


@pytest.fixture
def serving(described, root):
    """Starts the image over a feature server at this URL."""
    kept = []

    def serving(upstream):
        address = sidecar.loopback()
        sidecar.write_config(root / "etc/tagwarden", address, upstream)
        jailed = sidecar.Jailed(described, root, address)
        kept.append(jailed)
        return jailed

    yield serving
    for jailed in kept:
        jailed.__exit__()


@pytest.fixture
def features():
    server = sidecar.feature_server()
    yield server
    server.shutdown()


@needs_root
def test_nothing_but_the_binary_the_roots_and_the_licence_is_in_it(root):
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {"tagwarden", "LICENSE", "etc/ssl/certs/ca-certificates.crt", "etc/hosts"}


@needs_root
def test_it_serves_as_nobody_without_capabilities_and_ends_when_told(serving, features):
    running = serving(f"http://localhost:{features.server_port}").ready()
    status = running.status()
    assert (status["Uid"], status["Gid"], status["Groups"]) == (["10001"] * 4, ["10001"] * 4, [])
    for held in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[held][0], 16) == 0, held
    assert status["NoNewPrivs"] == ["1"]
    assert " ro," in open(f"/proc/{running.process.pid}/mountinfo").read().splitlines()[-1]
    code, body = running.query()
    assert code == 200 and body["results"][-1]["values"] == [36], body
    assert running.healthcheck() == (0, "ready\n", "")
    assert running.end() == 0, running.log()
    code, _, errors = running.healthcheck()
    assert code == 1 and errors, errors


@needs_root
def test_names_come_from_the_hosts_file_and_from_dns_and_unknown_ones_are_an_answer(serving, features, root):
    address = sidecar.loopback()
    resolver = Resolver(address, "served.test", "127.0.0.1")
    (root / "etc/resolv.conf").write_text(f"nameserver {address}\noptions timeout:2 attempts:1\n")
    try:
        for name in ("listed.test", "served.test"):
            with serving(f"http://{name}:{features.server_port}") as running:
                code, body = running.ready().query()
                assert code == 200, (name, body, running.log())
        with serving(f"http://unknown.test:{features.server_port}") as running:
            for _ in range(2):
                code, body = running.ready().query()
                assert (code, body["error"]["code"]) == (502, "UPSTREAM_FAILED"), body
            assert running.healthcheck()[0] == 0
        assert {"served.test", "unknown.test"} <= resolver.asked and "listed.test" not in resolver.asked
    finally:
        resolver.close()


@needs_root
def test_without_any_file_about_names_an_unknown_one_is_an_answer_too(serving, root):
    (root / "etc/hosts").unlink()
    running = serving("http://unknown.test:1").ready()
    code, body = running.query()
    assert code in (502, 504) and body["error"]["code"] in ("UPSTREAM_FAILED", "UPSTREAM_TIMEOUT"), body
    assert running.healthcheck() == (0, "ready\n", "")


@needs_root
def test_trust_roots_are_those_of_the_image(serving, root, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=features".split()
    files = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate]
    subprocess.run([*make, *files], check=True, capture_output=True)
    server = sidecar.feature_server((certificate, key))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    try:
        url = f"https://localhost:{server.server_port}"
        with serving(url) as running:
            code, body = running.ready().query()
            assert (code, body["error"]["code"]) == (502, "UPSTREAM_FAILED"), body
        with open(bundle, "a") as file:
            file.write(certificate.read_text())
        with serving(url) as running:
            code, body = running.ready().query()
            assert code == 200, (body, running.log())
        bundle.unlink()
        running = serving(url)
        assert running.process.wait(timeout=60) == 3
        assert "this machine has no trust roots, and no `ca` is given" in running.log()
    finally:
        server.shutdown()


@needs_root
def test_an_engine_makes_the_same_of_it(described, binary, released, root, tmp_path):
    """buildah carries out the last stage as it stands; the first is a folder with what the real one would leave."""
    if not released:
        pytest.skip("in the long run")
    context = tmp_path / "context"
    for source, file in described.sources(binary).items():
        image.put(file, context / "files" / source.lstrip("/"))
    last = (image.REPOSITORY / "Dockerfile").read_text().split("\nFROM scratch\n")[1]
    (context / "Dockerfile").write_text(f"FROM scratch AS build\nCOPY files /\n\nFROM scratch\n{last}")
    buildah = ["buildah", "--root", tmp_path / "store", "--runroot", tmp_path / "run", "--storage-driver", "vfs"]

    def run(*arguments):
        return subprocess.run([*buildah, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    how = ["--isolation", "chroot", "--format", "docker", "--timestamp", "0"]
    run("build", *how, "--tag", "tagwarden", context)
    told = run("inspect", "--type", "image", "--format", "{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.Cmd}} {{.Docker.Config.Healthcheck.Test}}", "tagwarden")
    words = lambda texts: "[" + " ".join(texts) + "]"
    assert told == f"10001:10001 {words(described.entrypoint)} {words(described.cmd)} {words(['CMD', *described.health])}"
    container = run("from", "tagwarden")
    made = run("mount", container)
    listed = lambda folder: {p: (folder / p).read_bytes() for p in ("tagwarden", "LICENSE", "etc/ssl/certs/ca-certificates.crt")}
    files = {str(path.relative_to(made)) for path in image.pathlib.Path(made).rglob("*") if path.is_file()}
    assert files == set(listed(root)) and listed(image.pathlib.Path(made)) == listed(root)
    run("push", "tagwarden", f"oci-archive:{tmp_path}/image.tar")
    size = sum(path.stat().st_size for path in image.pathlib.Path(made).rglob("*") if path.is_file())
    print(f"image: {size / 1e6:.1f} MB, {(tmp_path / 'image.tar').stat().st_size / 1e6:.1f} MB compressed")
    run("umount", container)
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
