"""Sidecars that issue tokens as one, over a Redis that dies, hangs and comes back empty."""

import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from issuer import pair, refresh
from redis_server import PASSWORD
from replicas import AGE, MAX_STALE, Load, Replicas, assert_waits, status
from support import ask, assert_error, wait_for


@pytest.fixture
def replicas(tmp_path, redis_server, start_sidecar, feast):
    started = Replicas(tmp_path, redis_server, start_sidecar, feast)
    yield started
    started.stop()


def metric(sidecar, series):
    text = ask(sidecar.metrics, "GET", "/metrics").body.decode()
    [value] = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.M)
    return float(value)


def silence(sidecar):
    return metric(sidecar, "tagwarden_issuer_store_silence_seconds")


def store_state(sidecar):
    """Of a sidecar that is ready: what `/readyz` says of the store."""
    ready = ask(sidecar.metrics, "GET", "/readyz")
    assert ready.status == 200, ready.body
    return ready.json()["checks"]["store"]


def assert_ended(port, *refresh_tokens):
    for token in refresh_tokens:
        assert_error(refresh(port, token), 401, "INVALID_REFRESH_TOKEN")


def test_a_start_without_the_shared_keys_is_refused(replicas):
    (replicas.folder / "none").mkdir()
    for keys, why in (("none", "it holds no `.pem` file with a signing key"), ("nowhere", "No such file or directory")):
        with pytest.raises(AssertionError, match="ended with 3:\n") as refused:
            replicas.start(f"without-{keys}", keys=keys)
        assert f"`{replicas.folder / keys}` cannot be used as `issuer.keys`: {why}" in str(refused.value)
    assert list((replicas.folder / "none").iterdir()) == []


def test_what_one_issues_the_other_takes(replicas):
    a, b = replicas.a.port, replicas.b.port
    client = replicas.scoring
    for here, there in ((a, b), (b, a)):
        token = client.token(here)
        assert (status(here, token), status(there, token)) == (200, 200)
        assert client.introspect(there, token)["active"] is True

    # a family that begins here and goes on there; an old token ends it for both
    access_1, first = client.pair(a)
    access_2, second = pair(refresh(b, first))
    access_3, third = pair(refresh(a, second))
    assert {status(port, token) for port in (a, b) for token in (access_1, access_2, access_3)} == {200}
    assert_ended(a, first)
    assert status(a, access_3) == 401
    wait_for(lambda: status(b, access_3) == 401, "the end of the family at the other replica", 10)
    assert {status(port, token) for port in (a, b) for token in (access_1, access_2, access_3)} == {401}
    for port in (a, b):
        assert_ended(port, first, second, third)
    # nobody else's
    assert status(b, token) == 200


def test_a_revocation_is_seen_everywhere_in_under_a_second(replicas):
    client, took = replicas.scoring, []
    for here, there in ((replicas.a.port, replicas.b.port), (replicas.b.port, replicas.a.port)):
        for _ in range(3):
            token, (access, fresh) = client.token(there), client.pair(there)
            for shown, revoked in ((token, token), (access, fresh)):
                assert status(there, shown) == 200
                assert client.revoke(here, revoked).status == 200
                begun = time.monotonic()
                wait_for(lambda: status(there, shown) == 401, "the revocation", 10)
                took.append(time.monotonic() - begun)
            assert_ended(there, fresh)
    # a busy machine may hold up one of them
    assert statistics.median(took) < 1.0 and max(took) < 3.0, took


def test_a_disabled_client_is_out_everywhere(replicas):
    client, ports = replicas.scoring, replicas.ports
    token, (access, fresh) = client.token(ports[0]), client.pair(ports[1])
    other = replicas.batch.token(ports[0])

    def reloaded(times):
        series = 'tagwarden_reloads_total{kind="clients",result="ok"}'
        wait_for(lambda: all(f"{series} {times}" in ask(sidecar.metrics, "GET", "/metrics").body.decode().splitlines()
                             for sidecar in replicas.all), "the new clients", 10)

    replicas.command.disable("scoring")
    reloaded(1)
    for port in ports:
        assert (status(port, token), status(port, access), status(port, other)) == (401, 401, 200)
        assert_ended(port, fresh)
        assert client.grant(port).status == 401
        assert_error(client.exchange(port), 401, "UNAUTHORIZED")
    replicas.command.enable("scoring")
    reloaded(2)
    for port in ports:
        # what is issued in the very second of the end ends with it
        wait_for(lambda: status(port, client.token(port)) == 200, "a token that holds", 10)
        assert (status(port, token), status(port, access)) == (401, 401)
        assert_ended(port, fresh)


def begin_load(replicas, idp):
    """Traffic that flows, with what was issued before: the client's token, its pair, and what was revoked."""
    a, b = replicas.ports
    client = replicas.scoring
    ours, revoked, (access, fresh) = client.token(a), client.token(b), client.pair(b)
    assert client.revoke(a, revoked).status == 200
    wait_for(lambda: status(b, revoked) == 401, "the revocation", 10)
    return Load([a, b], {"ours": ours, "other": idp.token("full"), "revoked": revoked}), (access, fresh)


def outage(replicas, load, away, tokens):
    """What holds from `away` on, which takes the store away, under load; `tokens`: a pair of before."""
    access, fresh = tokens
    client = replicas.scoring
    flows = lambda: all(load.since(0, port=port, kind=kind) for port in replicas.ports for kind in load.tokens)  # noqa: E731
    load.until(flows, "traffic")
    assert {one.status for one in load.since(0, kind="ours")} == {200}
    away()
    gone = time.monotonic()
    # ours go on for a while
    for sidecar in replicas.all:
        goes_on = lambda: load.since(gone, kind="ours", status=200, port=sidecar.port)  # noqa: E731
        load.until(goes_on, "a token of ours, without the store")
    # and then not; nobody gives up before the time, and nobody goes on after it
    for sidecar in replicas.all:
        load.until(lambda: load.since(gone, kind="ours", status=503, port=sidecar.port), "503 for tokens of ours")
        assert silence(sidecar) > MAX_STALE
        after = time.monotonic()
        enough = lambda: len(load.since(after, kind="ours", port=sidecar.port)) >= 5  # noqa: E731
        load.until(enough, "further queries")
        assert {one.status for one in load.since(after, kind="ours", port=sidecar.port)} == {503}
        assert store_state(sidecar).startswith("stale: the token store was not heard from"), store_state(sidecar)

    for port in replicas.ports:
        assert status(port, access) == 503
        for answer in (refresh(port, fresh), client.exchange(port)):
            assert_error(answer, 503, "KEYS_UNAVAILABLE", "Tokens cannot be issued right now")
            assert_waits(answer)
        for answer in (
            client.revoke(port, access), client.revoke(port, fresh),
            client.form(port, "/oauth/token", grant_type="refresh_token", refresh_token=fresh),
            client.form(port, "/oauth/introspect", token=access),
        ):
            assert_waits(answer)
            assert answer.json()["error"] == "temporarily_unavailable"
        # what needs nothing but the files
        assert status(port, client.token(port)) == 503
        answer = ask(port, "POST", "/get-online-features", AGE, [("X-API-Key", client.key)])
        assert answer.status == 200, answer.body
    others = {port: load.since(gone, kind="other", port=port) for port in replicas.ports}
    assert all(len(answered) >= 10 for answered in others.values())


def recovered(replicas, load):
    for sidecar in replicas.all:
        wait_for(lambda: status(sidecar.port, load.tokens["ours"]) == 200, "tokens of ours again", 30)
        assert store_state(sidecar) == "ok"
        again = time.monotonic()
        load.until(lambda: len(load.since(again, kind="ours", port=sidecar.port)) >= 5, "further queries")
        assert {one.status for one in load.since(again, kind="ours", port=sidecar.port)} == {200}


def test_redis_dies_under_load_and_comes_back_empty(replicas, idp):
    a, b = replicas.ports
    client = replicas.scoring
    load, (access, fresh) = begin_load(replicas, idp)
    ended_access, ended = client.pair(a)
    assert client.revoke(b, ended).status == 200
    with load:
        outage(replicas, load, replicas.redis.kill, (access, fresh))
        replicas.redis.start()
        recovered(replicas, load)
        for port in (a, b):
            # what was revoked is revoked, by its token or its family, and access tokens go on
            assert (status(port, ended_access), status(port, access)) == (401, 200)
            # families were in Redis alone: whoever had a refresh token begins anew
            assert_ended(port, ended, fresh)
            assert status(port, pair(refresh(port, client.pair(port)[1]))[0]) == 200
        # a replica that knows nothing but this Redis was told by the others
        third = replicas.start("c")
        assert (status(third.port, load.tokens["revoked"]), status(third.port, ended_access)) == (401, 401)
        assert (status(third.port, load.tokens["ours"]), status(third.port, access)) == (200, 200)
        assert client.revoke(third.port, access).status == 200
        for port in (a, b):
            wait_for(lambda: status(port, access) == 401, "what is revoked now", 10)


def test_redis_hangs_under_load(replicas, idp):
    client = replicas.scoring
    load, (access, fresh) = begin_load(replicas, idp)
    with load:
        outage(replicas, load, replicas.redis.hang, (access, fresh))

        # A refresh waits for Redis. Of the other issuer's queries several begin and end while it does, at the same replica:
        # they wait for nothing of it.
        def passed_by(port):
            begun = time.monotonic()
            assert_waits(refresh(port, fresh))
            ended = time.monotonic()
            return len([one for one in load.since(begun, kind="other", port=port) if one.ended < ended]) >= 3

        for port in replicas.ports:
            for _ in range(3):
                load.until(lambda: passed_by(port), "queries that pass a waiting refresh by")
        replicas.redis.go_on()
        recovered(replicas, load)
        # nothing was lost; a refresh that was not answered may have been done, so that this is a repeat of it
        newest = pair(refresh(replicas.a.port, fresh))
        assert status(replicas.b.port, newest[0]) == 200
        assert client.introspect(replicas.b.port, newest[1])["active"] is True


def test_a_sidecar_starts_while_redis_is_down(replicas, idp):
    client = replicas.scoring
    ours, revoked = client.token(replicas.a.port), client.token(replicas.a.port)
    assert client.revoke(replicas.a.port, revoked).status == 200
    replicas.redis.kill()
    late = replicas.start("late", arguments=["--log-level", "trace"])
    assert store_state(late) == "stale: the token store was never heard from"
    shown = ask(late.admin, "GET", "/status").json()["store"]
    assert shown == {"silence_seconds": None, "stale": "the token store was never heard from"}
    assert silence(late) == float("inf")
    # of the revoked one it cannot know
    assert [status(late.port, token) for token in (ours, revoked, client.token(late.port))] == [503, 503, 503]
    assert status(late.port, idp.token("full")) == 200
    assert_waits(client.exchange(late.port))
    replicas.redis.start()

    def takes_ours():
        # the store had lost it, and the others tell: it never passes
        assert status(late.port, revoked) in (503, 401)
        return status(late.port, ours) == 200

    wait_for(takes_ours, "the store that came late", 30)
    assert status(late.port, revoked) == 401
    assert store_state(late) == "ok"
    assert ask(late.admin, "GET", "/status").json()["store"]["stale"] is None
    access, fresh = client.pair(late.port)
    assert status(late.port, access) == 200
    log = late.process.log.read_bytes()
    assert b"the redis of the issuer serves again" in log and b'"TRACE"' in log
    secrets = [PASSWORD, client.secret, client.key, fresh, *(token.rsplit(".")[2] for token in (ours, revoked, access))]
    assert [secret for secret in secrets if secret.encode() in log] == []


def refresh_all(replicas, tokens):
    """Each at once, over both replicas in turn: the pairs that came of it. Nothing else is answered but that it is invalid."""
    together = threading.Barrier(len(tokens))

    def one(number):
        port = replicas.ports[number % 2]
        together.wait(30)
        answer = refresh(port, tokens[number])
        if answer.status == 200:
            return pair(answer)
        assert_error(answer, 401, "INVALID_REFRESH_TOKEN")
        return None

    with ThreadPoolExecutor(len(tokens)) as pool:
        return [got for got in pool.map(one, range(len(tokens))) if got]


def assert_each_once(pairs):
    assert len({fresh for _, fresh in pairs}) == len(pairs)
    ids = [jwt.decode(access, options={"verify_signature": False})["jti"] for access, _ in pairs]
    assert len(set(ids)) == len(pairs)


def living(replicas, pairs):
    """The refresh tokens that could be used, as both replicas say."""
    here, there = (
        [fresh for _, fresh in pairs if replicas.scoring.introspect(port, fresh)["active"]] for port in replicas.ports
    )
    assert here == there
    return here


def test_many_refreshes_of_one_token_leave_one_chain(replicas):
    """All of them are repeats within ten seconds: each is granted, and makes void what was granted before it."""
    first = replicas.scoring.pair(replicas.a.port)[1]
    pairs = refresh_all(replicas, [first] * 20)
    assert len(pairs) == 20
    assert_each_once(pairs)
    [newest] = living(replicas, pairs)
    # the one goes on; a void one is a second use, and ends it
    last = pair(refresh(replicas.b.port, newest))
    assert status(replicas.a.port, last[0]) == 200
    void = next(fresh for _, fresh in pairs if fresh != newest)
    assert_ended(replicas.a.port, void, last[1])
    for port in replicas.ports:
        wait_for(lambda: status(port, last[0]) == 401, "the end of the family", 10)


def test_many_refreshes_that_go_on_end_the_family(replicas):
    """Each goes on with what it was granted: of twenty chains nineteen are void, and using one is what a thief would do."""
    first = replicas.scoring.pair(replicas.a.port)[1]
    pairs = refresh_all(replicas, [first] * 20)
    further = refresh_all(replicas, [fresh for _, fresh in pairs])
    assert_each_once(pairs + further)
    assert len(further) <= 1
    assert living(replicas, pairs + further) == []
    for port in replicas.ports:
        wait_for(lambda: {status(port, access) for access, _ in pairs + further} == {401}, "the end of all of it", 10)
