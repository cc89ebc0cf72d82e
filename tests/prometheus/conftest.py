"""Fixtures: what is watched, under traffic, and the Prometheus that watches it. All on free ports of 127.0.0.1, each stopped by its
process id. TAGWARDEN_BIN names the binary; TAGWARDEN_PICTURE is the folder in which `npm ci` installed what picture/ needs."""

import os
import re
import signal
import time

import pytest
import stack
from support import Idp, wait_for

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


def pytest_sessionstart(session):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    if not stack.TAGWARDEN.is_file():
        pytest.exit(f"{stack.TAGWARDEN} is not there", returncode=4)


def blocks(name):
    """The YAML blocks of docs/monitoring.md that begin with `# name`."""
    return [b for b in re.findall(r"```yaml\n(.*?)```", stack.DOCS.read_text(), re.S) if b.startswith(f"# {name}\n")]


def scrape_config(sidecars):
    """The scrape that the page shows, of these sidecars and quicker."""
    (config,) = blocks("prometheus.yml")
    targets = ", ".join(f'"127.0.0.1:{sidecar.metrics}"' for sidecar in sidecars)
    for shown, wanted in (('"127.0.0.1:9902"', targets), ("scrape_interval: 15s", "scrape_interval: 1s"),
                          ("evaluation_interval: 15s", "evaluation_interval: 1s")):
        assert config.count(shown) == 1, f"`{shown}` of the page's prometheus.yml"
        config = config.replace(shown, wanted)
    return config


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prometheus")


@pytest.fixture(scope="session")
def started():
    """Whatever is put there is stopped with the session, the last first."""
    things = []
    yield things
    for thing in reversed(things):
        (thing if hasattr(thing, "stop") else thing.process).stop()


@pytest.fixture(scope="session")
def sidecars(folder, started):
    idp = Idp(folder)
    upstream, keys = stack.FeatureServer(), stack.Keys(idp)
    started += [upstream, keys]
    both = []
    for name, more in (("a", "shadow: {policies: next.yaml}\n"), ("b", "enforcement: audit\n")):
        both.append(stack.Sidecar(folder / name, upstream, keys, more))
        started.append(both[-1])
    both[0].idp = idp
    return both


@pytest.fixture(scope="session")
def prometheus(folder, sidecars, started):
    server = stack.Prometheus(folder / "server", scrape_config(sidecars))
    started.append(server)
    wait_for(lambda: len(server.query('up{job="tagwarden"} == 1')) == 2, "both targets to be up")
    return server


@pytest.fixture(scope="session")
def watched(sidecars, prometheus, started):
    """Traffic of every kind has come by, with reloads that went well and some that failed and were mended; it goes on."""
    traffic = stack.Traffic(sidecars, sidecars[0].idp)
    started.append(traffic)
    first = sidecars[0]

    def reload(number, text, result):
        series = f'tagwarden_reloads_total{{kind="policy",result="{result}"}}'
        wanted = first.value(series) + 1
        first.policy.write_text(text)
        wait_for(lambda: prometheus.query(f"{series} >= {wanted:g}"), f"reload {number}, {result}, in a scrape")

    for number in range(6):
        # No two texts are alike: what is broken in the same way again is no change.
        reload(number, f"version: 1\nroles: [{number}]\n", "failed")
        reload(number, stack.POLICY + f"# {number}\n", "ok")

    def enough():
        """Every kind came by some times. A picture that is kept shows more of it."""
        assert not traffic.wrong, traffic.wrong[:5]
        long = time.monotonic() - traffic.begun > (150 if os.environ.get("TAGWARDEN_BLESS") else 25)
        return long and all(traffic.done[0, kind, told[4]] >= 8 for kind, told in stack.KINDS.items())

    wait_for(enough, "all of the traffic", 400)
    seen = first.value('tagwarden_requests_total{code="200",route="/get-online-features"}')
    name = f'tagwarden_requests_total{{code="200", instance="127.0.0.1:{first.metrics}"}} >= {seen:g}'
    wait_for(lambda: prometheus.query(name), "a scrape of it")
    assert not traffic.wrong, traffic.wrong[:5]
    return traffic
