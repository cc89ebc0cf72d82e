"""Chalk's own client gets its token of us, and goes on to us."""

import json
import os
from pathlib import Path

import pytest
from support import run

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def sidecar(start_issuer):
    return start_issuer("chalk-tokens", "scoring", dialect="chalk", more="chalk: {environment: envmock1}\n")


def exchange(sidecar, name, secret):
    python = os.environ.get("TAGWARDEN_CHALKPY")
    assert python, "TAGWARDEN_CHALKPY is not set: tests/run installs chalkpy"
    environment = {"PATH": os.environ["PATH"], "HOME": str(sidecar.folder), "NO_PROXY": "127.0.0.1", "CHALK_SECRET": secret}
    out = run(python, HERE / "chalk/exchange.py", sidecar.issuer, name, cwd=sidecar.folder, env=environment)
    return json.loads(out.splitlines()[-1])


def test_the_client_gets_its_token_and_stays_here(sidecar):
    secret = sidecar.clients["scoring"].secret
    assert exchange(sidecar, "scoring", secret) == {
        "user": "scoring",
        "environment": "envmock1",
        "engines": {"envmock1": sidecar.issuer},
        "names": {"envmock1": "envmock1"},
    }
    assert secret not in sidecar.process.log.read_text()


def test_a_wrong_secret_gets_nothing(sidecar):
    error = exchange(sidecar, "scoring", "canary-of-a-secret")["error"]
    assert "401" in error and "/v1/oauth/token" in error, error
    assert "canary-of-a-secret" not in sidecar.process.log.read_text()
