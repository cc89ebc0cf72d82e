"""What chalkpy shows where the deployment fails: that it failed, nothing that it said, and no loop."""

import json

import pytest
from chalk_doors import assert_hides

ASKED = {"input": {"user.id": 1}, "output": ["user.name"]}
OURS = {
    "code": "INTERNAL_SERVER_ERROR", "category": "NETWORK", "message": "The feature server failed", "display_primary_key": None,
    "display_primary_key_fqn": None, "exception": None, "feature": None, "resolver": None,
}
# Of what the deployment says when it fails, anywhere.
ITS_WORDS = ("nope", "boom", "gateway", "Forbidden by mock", "Invalid access token", "mock unavailable", "user.ssn", "for tag")
BULK = {"input": {"user.id": [1]}, "output": ["user.name"]}


def ask(door, kind, method, arguments, fail):
    outcome = door.call("full", kind, method, arguments, additional_headers={"x-mock-fail": fail})
    assert_hides(outcome, door.relay.heard)
    text = json.dumps(outcome)
    assert not [word for word in ITS_WORDS if word in text or word.encode() in door.relay.heard], text
    return outcome


def exchanges(door):
    """How often the client came for a token, and with a query."""
    went = [entry["to"] for entry in door.mock.all_seen()]
    if door.bypass is None:  # they are ours: the deployment does not see them
        tokens = door.relay.heard.count(b'"access_token"')
    else:
        tokens = went.count("/v1/oauth/token")
    return tokens, len(door.mock.seen())


@pytest.mark.parametrize("kind", ["http", "http-async"])
@pytest.mark.parametrize("method, arguments", [("query", ASKED), ("query_bulk", BULK)])
@pytest.mark.parametrize("fail", ["400-std", "500", "500-html"])
def test_a_failure_is_one(door, fail, method, arguments, kind):
    outcome = ask(door, kind, method, arguments, fail)
    assert outcome["raised"] == "ChalkBaseException" and outcome["errors"] == [OURS]
    assert "The feature server failed" in outcome["text"] and "Trace ID" in outcome["text"]
    assert exchanges(door)[1] == 1, "it is asked once"


@pytest.mark.parametrize("kind", ["http", "http-async"])
@pytest.mark.parametrize("fail", ["401", "403", "403-std"])
def test_a_token_that_the_deployment_does_not_take_is_exchanged_once(door, fail, kind):
    """What chalkpy does without tagwarden: with a token of this very call it gives up, else it exchanges it and asks again."""
    for attempt, wanted in ((1, (1, 1)), (2, (1, 2))):
        new = {"additional_headers": {"x-mock-fail": fail, "x-attempts-of": kind}}
        outcome = door.call("full", kind, "query", ASKED, **new)
        assert_hides(outcome, door.relay.heard)
        assert outcome["raised"] == "ChalkCustomException", outcome
        assert "Error Message: The feature server failed" in outcome["text"]
        assert not [word for word in ITS_WORDS if word in json.dumps(outcome)]
        assert exchanges(door) == wanted, attempt


@pytest.mark.parametrize("kind", ["http", "http-async"])
def test_a_stale_token_is_exchanged_and_the_query_answered(door, kind):
    new = {"additional_headers": {"x-stale-of": kind}}
    assert "result" in door.call("full", kind, "whoami", {}, **new)
    outcome = door.call("full", kind, "query", ASKED | {"stale": True}, **new)
    assert {row["field"]: row["value"] for row in outcome["result"]["data"]} == {"user.name": "Ada"}
    assert exchanges(door) == (1, 1)


@pytest.mark.parametrize("kind, method, fail", [
    ("http", "query", "200-unauthorized"), ("http-async", "query", "200-unauthorized"), ("grpc", "query", "chalk_error"),
    ("grpc-async", "query", "chalk_error")])
def test_a_refusal_of_the_deployment_itself_is_one(door, kind, method, fail):
    """Without what it names: that may be anything."""
    (error,) = ask(door, kind, method, ASKED, fail)["result"]["errors"]
    assert error == OURS | {"code": "UNAUTHORIZED", "message": "the feature server does not permit it"}


@pytest.mark.parametrize("kind", ["grpc", "grpc-async"])
@pytest.mark.parametrize("fail", ["unauthenticated", "permission_denied", "unavailable"])
def test_a_call_that_fails_keeps_its_status(door, fail, kind):
    outcome = ask(door, kind, "query", ASKED, fail)
    assert outcome["code"] == fail.upper()
    assert outcome["details"] == "The feature server ended the call with an error"
    # the client's own policy: five attempts at what is unavailable
    assert len(door.mock.seen()) == (5 if fail == "unavailable" else 1)


@pytest.mark.parametrize("kind", ["grpc", "grpc-async"])
def test_a_wrong_secret_over_grpc(door, kind):
    outcome = door.call("full", kind, "query", ASKED, client_secret="not-it")
    assert (outcome["raised"], outcome["code"]) == ("RpcError", "UNAUTHENTICATED"), outcome
    assert "not-it" not in json.dumps(outcome) and door.mock.seen() == []
