"""The upstream that restarts, fails or answers what was not asked; and policies that change under live traffic."""

import http.client
import json
import os
import threading

from conftest import POLICY
from support import READ, ask, assert_error, columns, read, wait_for
from test_feast_replay import recorded

AGE = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
JSON = ("Content-Type", "application/json")
EPOCH = "1970-01-01T00:00:00Z"


def feast_answer(*named_columns):
    """A Feast answer for one entity with these (name, value) columns."""
    results = [{"values": [value], "statuses": ["PRESENT"], "event_timestamps": [EPOCH]} for _, value in named_columns]
    return json.dumps({"results": results, "metadata": {"feature_names": [name for name, _ in named_columns]}}).encode()


def keep_reading(port, token, count, failures):
    """Reads `count` times over one connection, opened again only where the sidecar itself closed it in its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for n in range(count):
        customer = n % 4 + 1  # none of them has a null age
        body = json.dumps({"features": ["customer_profile:age"], "entities": {"customer_id": [customer]}})
        try:
            connection.request("POST", READ, body, headers)
            response = connection.getresponse()
            text = response.read()
            if response.status != 200 or columns(text)["age"]["values"] != f"[{18 + customer}]":
                failures.append(f"read {n}: {response.status} {text[:200]!r}")
        except (OSError, http.client.HTTPException, ValueError, KeyError) as wrong:
            failures.append(f"read {n}: {wrong!r}")
            connection.close()
    connection.close()


def test_workers_that_restart_fail_no_read(feast_repo, start_sidecar, idp, folder):
    """Feast's workers end after so many requests and drop their kept connections without a word."""
    feast = feast_repo.serve(folder / "feast-restarting.log", max_requests=100)
    try:
        sidecar, failures = start_sidecar("restarting", feast.port), []
        count, wanted, restarts = 500, 50 if os.environ.get("TAGWARDEN_LONG") else 10, 0
        # A worker that is ending still answers on the connections that it has, as many as come until it is gone.
        for _ in range(wanted):
            threads = [
                threading.Thread(target=keep_reading, args=(sidecar.port, idp.token(), count, failures))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failures, f"{len(failures)} of {4 * count} reads failed: {failures[:3]}"
            restarts = feast.log.read_text().count("Booting worker") - 1
            if restarts >= wanted:
                break
        assert restarts >= wanted, f"only {restarts} restarts: this shows nothing"
    finally:
        feast.stop()


def test_the_words_of_a_failing_upstream_stay_inside(recorder, idp):
    """An ODFV that fails tells the value that it failed on: recorded of a real Feast."""
    leak = recorded("odfv_error_leaks_value")
    assert leak.status == 500 and b"001-01-0007" in leak.body
    recorder.say(leak.status, leak.body)
    answer = read(recorder.sidecar.port, AGE, idp.token())
    assert_error(answer, 500, "UPSTREAM_FAILED")
    assert b"001-01" not in answer.body and b"invalid literal" not in answer.body


def test_answers_that_cannot_be_verified_are_not_passed_on(recorder, idp):
    good = [("customer_id", 1), ("customer_profile__age", 19)]
    for what, body in {
        "a column that was not asked for": feast_answer(*good, ("customer_profile__ssn", "001-01-0007")),
        "a name that comes twice": feast_answer(*good, ("customer_profile__age", 20)),
        "fewer names than columns": feast_answer(*good).replace(b', "customer_profile__age"]', b"]"),
        "no names": b'{"results": []}',
        "no JSON": b"001-01-0007",
        "a duplicate key": feast_answer(*good).replace(b'"metadata"', b'"metadata": {}, "metadata"'),
    }.items():
        recorder.say(200, body)
        answer = read(recorder.sidecar.port, AGE, idp.token())
        assert answer.status == 502, f"{what}: {answer.status} {answer.body[:200]!r}"
        assert_error(answer, 502, "UPSTREAM_UNREADABLE")
        assert b"001-01" not in answer.body, what


def test_redirects_are_not_passed_on(recorder, idp):
    recorder.say(307, b"", [("Location", "http://elsewhere.test/get-online-features")])
    answer = read(recorder.sidecar.port, AGE, idp.token())
    assert_error(answer, 502, "UPSTREAM_FAILED")
    assert answer.header("location") is None and len(recorder.seen) == 1


def test_headers_of_the_upstream_stay_inside(recorder, idp):
    """Neither cookies nor a decision id come from behind; the answer's own content type does."""
    recorder.say(200, recorder.AGE, [JSON, ("Set-Cookie", "a=b"), ("X-Tagwarden-Decision-Id", "spoofed")])
    answer = read(recorder.sidecar.port, AGE, idp.token())
    assert answer.status == 200 and answer.header("x-tagwarden-decision-id") != "spoofed"
    assert answer.header("set-cookie") is None
    assert answer.header("content-type") == "application/json"


def replace_file(path, text):
    """As editors and deployments do it: whole, by a rename."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text)
    fresh.rename(path)


def test_reload(start_sidecar, feast, idp):
    """A changed policy holds from one request to the next; a broken one changes nothing and is told of."""
    sidecar = start_sidecar("reloading", feast.port)
    token = idp.token()

    def status():
        return read(sidecar.port, AGE, token).status

    def told():
        pages = [ask(sidecar.admin, "GET", "/status"), ask(sidecar.metrics, "GET", "/readyz")]
        return b"".join(page.body for page in pages).decode()

    assert status() == 200
    denied = POLICY.replace("full: {default: Allow,", 'full: {default: Allow, tags: {"class=raw": Deny},')
    assert denied != POLICY
    replace_file(sidecar.policy, denied)
    wait_for(lambda: status() == 403, "the policy that denies the age", 30)
    assert_error(read(sidecar.port, AGE, token), 403, "FEATURES_REFUSED")
    assert "Alow" not in told()

    # the mistake is in a role that these requests do not use, and still none of it may be taken
    broken = POLICY.replace("internal-filter: {tags: {pii: AllowInternal}", "internal-filter: {tags: {pii: Alow}")
    assert broken != POLICY
    replace_file(sidecar.policy, broken)
    wait_for(lambda: "Alow" in told(), "word of the policy that does not load", 30)
    metrics = ask(sidecar.metrics, "GET", "/metrics").body.decode()
    stale = [line for line in metrics.splitlines() if line.startswith("tagwarden_snapshot_stale{")]
    assert [line for line in stale if line.endswith(" 1")], f"no snapshot is called stale: {stale}"
    assert_error(read(sidecar.port, AGE, token), 403, "FEATURES_REFUSED")
    assert ask(sidecar.metrics, "GET", "/readyz").status == 200

    replace_file(sidecar.policy, POLICY)
    wait_for(lambda: status() == 200, "the good policy again", 30)
    wait_for(lambda: "Alow" not in told(), "the end of the complaint", 30)
