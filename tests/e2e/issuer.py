"""tagwarden's own issuer: its section of the configuration, its clients, and what they ask of it."""

import base64
import json
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import AUDIENCE, ISSUER, TAGWARDEN, ask, run

FORM = ("Content-Type", "application/x-www-form-urlencoded")


def section(url, *more):
    """`issuer` of the configuration; `more` lines of it."""
    lines = ["issuer:", f"  url: {url}", f"  audience: {AUDIENCE}", *(f"  {line}" for line in more)]
    return "".join(f"{line}\n" for line in lines)


def policy(url):
    """Of clients in the group `scoring`, and of `full` of the other issuer."""
    return f"""\
version: 1
roles:
  service: {{tags: {{pii: Deny}}}}
  full: {{}}
bindings:
  - {{roles: [service], when: {{iss: "{url}", groups: scoring}}}}
  - {{roles: [full], when: {{iss: "{ISSUER}", client_id: full}}}}
"""


def write_signing_key(folder):
    """A key as operators make it, for replicas to share."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "1.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))


class ClientCommand:
    """`tagwarden client`, with the configuration of a sidecar."""

    def __init__(self, sidecar):
        self.config, self.env = sidecar.config, sidecar.env

    def command(self, command, *arguments):
        """What it prints, name by name."""
        out = run(TAGWARDEN, "client", command, *arguments, "--config", self.config, env=self.env).decode()
        return dict(line.split(": ", 1) for line in out.splitlines())

    def add(self, name, groups=("scoring",)):
        """A client with a secret and an API key."""
        secret = self.command("add", name, "--claim", f"groups={json.dumps(groups)}")["client_secret"]
        return Client(name, secret, self.command("rotate", name, "--api-key")["api_key"])

    def disable(self, name):
        self.command("disable", name)

    def enable(self, name):
        self.command("enable", name)


class Client:
    """Who asks the issuer at some port. What gives a token fails if there is none."""

    def __init__(self, name, secret, key):
        self.name, self.secret, self.key = name, secret, key

    def form(self, port, path, **fields):
        basic = base64.b64encode(f"{self.name}:{self.secret}".encode()).decode()
        headers = [FORM, ("Authorization", f"Basic {basic}")]
        return ask(port, "POST", path, urlencode(fields).encode(), headers)

    def grant(self, port):
        return self.form(port, "/oauth/token", grant_type="client_credentials")

    def token(self, port):
        return good(self.grant(port))["access_token"]

    def exchange(self, port):
        return ask(port, "POST", "/api/v1/auth/token", {"api_key": self.key})

    def pair(self, port):
        """An access token and a refresh token, for the API key."""
        return pair(self.exchange(port))

    def revoke(self, port, token):
        return self.form(port, "/oauth/revoke", token=token)

    def introspect(self, port, token):
        return good(self.form(port, "/oauth/introspect", token=token))


def good(answer):
    assert answer.status == 200, f"{answer.status} {answer.body[:300]}"
    return answer.json()


def pair(answer):
    data = good(answer)["data"]
    return data["access_token"], data["refresh_token"]


def refresh(port, token):
    return ask(port, "POST", "/api/v1/auth/refresh", {"refresh_token": token})
