"""What compare and flat.py send and expect: tokens, policies, configurations, queries and answers. Nothing but the standard
library and the `openssl` command; but for keys and times, the same every time."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import subprocess
import time

ISSUER, AUDIENCE = "https://idp.example/", "feature-server"
LIVES = 6 * 3600
PATHS = {"feast": "/get-online-features", "chalk": "/v1/query/online"}
# Rows and features of an answer.
SIZES = {"small": (1, 10), "medium": (100, 20), "large": (1000, 50)}
FEATURES = max(features for _, features in SIZES.values())
STAMP = "2026-01-01T00:00:00Z"


# Tokens. 2048 bits by the Chinese remainder theorem take Python some milliseconds, so they are made on all cores.


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def values(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each value of DER, one after the other."""
    found = []
    while der:
        length, at = der[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(der[2:at], "big")
        found.append((der[0], der[at : at + length]))
        der = der[at + length :]
    return found


class RsaKey:
    """A key of 2048 bits that signs RS256 (RFC 7518, 3.3). It goes to other processes as it is."""

    def __init__(self, kid: str):
        made = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"]
        der = subprocess.run(made, capture_output=True, check=True).stdout
        public = ["openssl", "pkey", "-inform", "DER", "-pubout"]
        self.public_pem = subprocess.run(public, input=der, capture_output=True, check=True).stdout
        # RSAPrivateKey (RFC 8017, A.1.2), which some versions of openssl put into a PrivateKeyInfo (RFC 5208).
        [(_, sequence)] = values(der)
        parts = values(sequence)
        if parts[1][0] != 2:
            parts = values(values(parts[2][1])[0][1])
        _, self.n, self.e, _, self.p, self.q, self.dp, self.dq, self.qi = (int.from_bytes(part, "big") for _, part in parts)
        self.kid, self.algorithm = kid, "RS256"

    def signature(self, signed: bytes) -> bytes:
        info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed).digest()
        number = int.from_bytes(b"\0\1" + b"\xff" * (253 - len(info)) + b"\0" + info, "big")
        of_p, of_q = pow(number, self.dp, self.p), pow(number, self.dq, self.q)
        return (of_q + self.qi * (of_p - of_q) % self.p * self.q).to_bytes(256, "big")

    def jwks(self) -> str:
        number = lambda value: b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
        public = {"kty": "RSA", "n": number(self.n), "e": number(self.e), "kid": self.kid, "alg": "RS256", "use": "sig"}
        return json.dumps({"keys": [public]})


class SharedKey:
    """HS256, where tokens are made by the hundred thousand."""

    def __init__(self, secret: str):
        self.secret, self.kid, self.algorithm = secret.encode(), "shared", "HS256"

    def signature(self, signed: bytes) -> bytes:
        return hmac.digest(self.secret, signed, "sha256")


def token(key, number: int, **other) -> str:
    """Number's token, with these claims in place of the usual ones."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": f"service-{number}", "client_id": f"service-{number}", "iat": now,
        "exp": now + LIVES, "jti": f"{number:032x}", "groups": ["readers", "scoring", "eu-west"], **other,
    }
    signed = ".".join(b64(compact(part)) for part in ({"alg": key.algorithm, "typ": "JWT", "kid": key.kid}, claims))
    return f"{signed}.{b64(key.signature(signed.encode()))}"


def some(work: tuple) -> list[str]:
    key, numbers = work
    return [token(key, number) for number in numbers]


def tokens(key, count: int) -> list[str]:
    """Distinct ones."""
    step = max(1, -(-count // 16))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        works = [(key, range(at, min(at + step, count))) for at in range(0, count, step)]
        return [line for part in pool.map(some, works) for line in part]


def spoilt(key: RsaKey, good: str, other: str) -> dict[str, str | None]:
    """What every peer that checks tokens answers with 401."""
    head, payload, signature = good.split(".")
    middle = len(signature) // 2
    changed = signature[:middle] + ("A" if signature[middle] != "A" else "B") + signature[middle + 1 :]
    return {
        "no token": None,
        "a changed signature": f"{head}.{payload}.{changed}",
        "another's claims": f"{head}.{other.split('.')[1]}.{signature}",
        "a foreign key": token(RsaKey(key.kid), 0),
        "an expired token": token(key, 0, exp=int(time.time()) - 3600),
        "another issuer": token(key, 0, iss="https://other.example/"),
        "another audience": token(key, 0, aud="something-else"),
        "no algorithm": f"{b64(compact({'alg': 'none', 'typ': 'JWT'}))}.{payload}.",
    }


# Queries and answers. Every fifth feature is one that readers may not have.


def tags(number: int) -> list[str]:
    return ["pii"] if number % 5 == 4 else ["public"] if number % 2 else ["internal"]


def name(kind: str, number: int) -> str:
    return f"account:c{number}" if kind == "feast" else f"account.c{number}"


def value(row: int, number: int):
    """Numbers, texts that have to be read with care, truth values and nulls, in columns."""
    step = row * 7919 + number * 104729
    match number % 4:
        case 0:
            return round(step % 2_000_003 / 997 - 1000, 4)
        case 1:
            return step % 1_000_000
        case 2:
            return ["gold", "silver", "caf\u00e9 au lait", 'so "called"', "a\\b]}"][step % 5]
        case _:
            return None if step % 11 == 0 else step % 2 == 0


def answer(kind: str, size: str, permitted) -> dict:
    """What a caller gets who may have the features with these numbers."""
    rows, features = SIZES[size]
    numbers = [number for number in range(features) if permitted(number)]
    if kind == "feast":
        def column(values):
            return {"values": values, "statuses": ["PRESENT"] * rows, "event_timestamps": [STAMP] * rows}

        columns = [column([value(row, number) for row in range(rows)]) for number in numbers]
        names = ["account_id", *(f"account__c{number}" for number in numbers)]
        return {"metadata": {"feature_names": names}, "results": [column(list(range(1, rows + 1))), *columns]}
    cells = ((row, number) for row in range(rows) for number in numbers)
    data = [{"field": name(kind, n), "value": value(row, n), "pkey": str(row + 1), "ts": STAMP} for row, n in cells]
    return {"data": data, "errors": [], "meta": None}


def whole(kind: str, size: str) -> dict:
    return answer(kind, size, lambda _: True)


def cut(kind: str, size: str) -> dict:
    return answer(kind, size, lambda number: tags(number) != ["pii"])


def query(kind: str, size: str) -> bytes:
    rows, features = SIZES[size]
    names, keys = [name(kind, number) for number in range(features)], list(range(1, rows + 1))
    if kind == "feast":
        return compact({"features": names, "entities": {"account_id": keys}, "full_feature_names": True})
    return compact({"inputs": {"account.id": keys if rows > 1 else 1}, "outputs": names})


# The sidecar's files.


def configuration(folder: pathlib.Path, kind: str, upstream: int, keys: dict, algorithm: str, policy: dict, **more) -> None:
    """tagwarden.yaml and policy.yaml, which are JSON; one worker thread, as the peers have. `auth` of `more` is added to the issuer."""
    here = {"address": "127.0.0.1:0"}
    issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": [algorithm], "keys": keys}
    # Chalk's clients are told where to come to and what it is called; nobody here asks.
    chalk = {"listen": {**here, "public_url": "http://127.0.0.1"}, "chalk": {"environment": "bench"}} if kind == "chalk" else {}
    settings = {
        "version": 1, "threads": 1, "listen": here, "metrics": here, "admin": here,
        "upstream": {"url": f"http://127.0.0.1:{upstream}", "dialect": kind},
        "auth": {"issuers": [issuer], **more.pop("auth", {})}, "policies": "policy.yaml", "audit": {"log": "/dev/null"},
        "drain": {"delay": "0ms", "timeout": "5s"}, **chalk, **more,
    }
    (folder / "policy.yaml").write_text(json.dumps(policy))
    (folder / "tagwarden.yaml").write_text(json.dumps(settings))


def policy(kind: str) -> dict:
    """Readers have what is `public` or `internal`, owners have all."""
    own = "account_id" if kind == "feast" else "account.id"
    features = {name(kind, number): {"tags": tags(number)} for number in range(FEATURES)}
    reader = {"public": "Allow", "internal": "Allow"}
    return {
        "version": 1, "mode": "filter", "features": {own: {"key": True, "tags": ["public"]}, **features},
        "roles": {"reader": {"default": "Deny", "tags": reader}, "owner": {"default": "Deny", "tags": {**reader, "pii": "Allow"}}},
        "bindings": [
            {"roles": ["reader"], "when": {"iss": ISSUER, "groups": "readers"}},
            {"roles": ["owner"], "when": {"iss": ISSUER, "groups": "owners"}},
        ],
    }
