"""A real OpenID provider (tests/e2e/provider: oidc-provider of npm), its keys, and the browser of a person."""

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from support import AUDIENCE, Process, ask, free_port, wait_for

SERVER = Path(__file__).resolve().parent / "provider" / "server.mjs"
JWT, OPAQUE = "https://features.test/jwt", "https://features.test/opaque"
# of a client on the person's own machine: any port will do (RFC 8252, 7.3), and nothing listens there
REDIRECT = "http://127.0.0.1/callback"


def service(name, method="client_secret_basic"):
    return {
        "client_id": name, "client_secret": f"secret-of-{name}", "token_endpoint_auth_method": method,
        "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [],
    }


CLIENTS = [
    service("scoring"), service("scoring-post", "client_secret_post"), service("batch"), service("pretender"),
    # of the sidecar, for introspection
    service("tagwarden"),
    # of a person: a public client, without a secret
    {
        "client_id": "notebook", "token_endpoint_auth_method": "none", "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [REDIRECT], "response_types": ["code"],
    },
]
PERSONS = {
    "alice": {"password": "of alice", "groups": ["analysts", "staff"]},
    "bob": {"password": "of bob", "groups": ["staff"]},
    "carol": {"password": "of carol", "groups": ["analysts"]},
}


def signing_key(kid):
    """A private RSA key as a JWK."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    del jwk["key_ops"]  # the provider publishes it as it is, and would then not find the key that verifies
    return jwk | {"kid": kid, "alg": "RS256", "use": "sig"}


class Provider:
    """A process, and what a client says to it. Whoever asks it for something gets the JSON, or fails."""

    def __init__(self, folder, keys=None):
        folder.mkdir()
        assert os.environ.get("TAGWARDEN_PROVIDER"), "TAGWARDEN_PROVIDER is not set: tests/run installs the provider"
        self.folder, self.port, self.made = folder, free_port(), 0
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.write_keys(keys or [self.new_key()])
        resources = {JWT: {"audience": AUDIENCE, "format": "jwt"}, OPAQUE: {"audience": AUDIENCE, "format": "opaque"}}
        (folder / "settings.json").write_text(json.dumps({
            "port": self.port, "keys": "keys.json", "clients": CLIENTS, "resources": resources, "persons": PERSONS,
            "services": {"pretender": {"groups": ["analysts"]}},
        }))
        self.process = None
        self.start()

    def new_key(self):
        self.made += 1
        return signing_key(f"key-{self.made}")

    def write_keys(self, keys):
        """For the next start."""
        self.keys = keys
        (self.folder / "keys.json").write_text(json.dumps({"keys": keys}))

    def start(self):
        self.process = Process(["node", SERVER, self.folder / "settings.json"], self.folder / "log")
        self.process.wait_ready(self.port, "/.well-known/openid-configuration", 30)

    def kill(self):
        """As a machine dies: nothing is said to anybody."""
        os.kill(self.process.child.pid, signal.SIGKILL)
        self.process.stop()

    def stop(self):
        self.process.stop()

    def rotate(self, keys):
        """From now on these, of which the first signs; the others are published beside it."""
        self.write_keys(keys)
        os.kill(self.process.child.pid, signal.SIGHUP)
        published = lambda: [key["kid"] for key in ask(self.port, "GET", "/jwks").json()["keys"]]  # noqa: E731
        wait_for(lambda: published() == [key["kid"] for key in keys], "the rotated keys", 10)

    def post(self, path, form, auth=None):
        answer = requests.post(self.issuer + path, data=form, auth=auth, timeout=20)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def service_token(self, client="scoring", resource=JWT):
        form = {"grant_type": "client_credentials", "resource": resource}
        return self.post("/token", form, (client, f"secret-of-{client}"))["access_token"]

    def token_of(self, key, client="scoring"):
        """A token as the provider makes them, with one of its keys, while it is away."""
        now = int(time.time())
        payload = {"iss": self.issuer, "aud": AUDIENCE, "sub": client, "client_id": client, "iat": now, "exp": now + 600}
        private = jwt.PyJWK(key).key
        return jwt.encode(payload, private, algorithm="RS256", headers={"kid": key["kid"], "typ": "at+jwt"})

    def login(self, person, resource=JWT):
        """What a person gets who logs in and consents, by authorization code and PKCE: the answer of /token."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = secrets.token_urlsafe(8)
        callback = Browser().log_in(f"{self.issuer}/auth", person, {
            "client_id": "notebook", "response_type": "code", "redirect_uri": REDIRECT, "state": state,
            "code_challenge": challenge, "code_challenge_method": "S256", "resource": resource,
            "scope": "openid offline_access", "prompt": "login consent",
        })
        assert callback["state"] == state and callback["iss"] == self.issuer
        return self.post("/token", {
            "grant_type": "authorization_code", "client_id": "notebook", "redirect_uri": REDIRECT,
            "code": callback["code"], "code_verifier": verifier,
        })

    def refresh(self, refresh_token):
        return self.post("/token", {
            "grant_type": "refresh_token", "client_id": "notebook", "refresh_token": refresh_token,
        })


class Browser:
    """Follows redirects with its cookies and fills forms in, as a person would."""

    def __init__(self):
        self.session = requests.Session()
        self.forms = []  # the names of the fields of each that was sent

    def log_in(self, address, person, query):
        """The query of the address that it is sent back to in the end."""
        answer = self.session.get(address, params=query, allow_redirects=False, timeout=20)
        fields = {"login": person, "password": PERSONS[person]["password"], "consent": "yes"}
        for _ in range(20):
            if answer.is_redirect:
                target = urljoin(answer.url, answer.headers["location"])
                if target.startswith(REDIRECT):
                    assert self.forms == [["login", "password"], ["consent"]], self.forms
                    return {name: value for name, [value] in parse_qs(urlsplit(target).query).items()}
                answer = self.session.get(target, allow_redirects=False, timeout=20)
                continue
            assert answer.status_code == 200, f"{answer.url}: {answer.status_code} {answer.text[:500]}"
            action, names = re.search('action="([^"]+)"', answer.text), re.findall('<input name="([^"]+)"', answer.text)
            self.forms.append(names)
            answer = self.session.post(
                urljoin(answer.url, action[1]), data={name: fields[name] for name in names},
                allow_redirects=False, timeout=20,
            )
        raise AssertionError(f"no end of redirects, the last one to {answer.headers.get('location')}")


def trusting(provider, *more):
    """An item of `auth.issuers`: keys are found by the issuer's name alone; `more` lines of it."""
    lines = [f"- issuer: {provider.issuer}", f"  audiences: [{AUDIENCE}]", *(f"  {line}" for line in more)]
    return "".join(f"{line}\n" for line in lines)


class Traffic:
    """Threads that get a token from the provider, query with it, and begin again, until the block ends. It fails then if
    a single query did."""

    def __init__(self, provider, query, threads=3):
        self.provider, self.query, self.over = provider, query, threading.Event()
        self.seen = [Counter() for _ in range(threads)]  # per thread: key name -> queries that were answered
        self.failed = []
        self.threads = [threading.Thread(target=self.run, args=[seen], daemon=True) for seen in self.seen]

    def run(self, seen):
        try:
            while not self.over.is_set():
                token = self.provider.service_token()
                kid = jwt.get_unverified_header(token)["kid"]
                answer = self.query(token)
                if answer.status == 200:
                    seen[kid] += 1
                else:
                    self.failed.append((kid, answer.status, answer.body[:200]))
        except Exception as error:
            self.failed.append(error)

    def each_had(self, key, count=10):
        """Waits until each thread has had so many answers with tokens of this key."""
        had = lambda: self.failed or all(seen[key["kid"]] >= count for seen in self.seen)  # noqa: E731
        wait_for(had, f"{count} answers a thread with {key['kid']}", 30)
        assert not self.failed, self.failed[:3]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.failed, self.failed[:3]
