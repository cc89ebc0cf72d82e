"""Chalk's own client gets its token of us, and goes on to us."""

import json
import os
from pathlib import Path

import pytest
from support import TAGWARDEN, run

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


MODELS = '''from chalk import _
from chalk.features import DataFrame, feature, features


@features
class Transaction:
    id: int
    user_id: "User.id"
    amount: float = feature(tags=["pii"])


@features
class User:
    id: int
    transactions: DataFrame[Transaction]
    avg_transaction_amount: float = feature(tags=["cleared"], expression=_.transactions[_.amount].mean())
'''


def test_an_export_is_a_catalogue(tmp_path):
    """As docs/chalk.md has it: `chalkpy export`, then the import."""
    (tmp_path / "chalk.yaml").write_text("project: shop\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/__init__.py").touch()
    (tmp_path / "src/models.py").write_text(MODELS)
    chalkpy = Path(os.environ["TAGWARDEN_CHALKPY"]).parent / "chalkpy"
    run(chalkpy, "export", "export.pb", "--directory", ".", "--proto", cwd=tmp_path)
    run(TAGWARDEN, "catalogue", "import", "chalk", "export.pb", "-o", "catalogue.yaml", cwd=tmp_path)
    catalogue = (tmp_path / "catalogue.yaml").read_text()
    for line in (
        '"transaction.amount": {tags: ["pii"]}',
        '"user.avg_transaction_amount": {tags: ["cleared"], inputs: ["transaction.amount"], joins: ["transaction.user_id", "user.id"]}',
        '"user.transactions": {has_many: "transaction", joins: ["transaction.user_id", "user.id"]}',
    ):
        assert line in catalogue, catalogue
