"""Every recorded exchange, sent through the sidecar by a caller that may see everything.

What strict reading accepts must give the columns that Feast gives: the same names, and for each the same value text,
byte for byte. The rest stands in REFUSED with the answer that is due.
"""

from pathlib import Path

import pytest
from support import READ, Answer, ask, assert_error, columns, read, send_raw

ONLINE = Path(__file__).resolve().parent / "fixtures" / "online"
NAMES = sorted(path.name.removesuffix(".request.http") for path in ONLINE.glob("*.request.http"))

# name of the exchange -> status, code, a part of the message
REFUSED = {
    # texts that two parsers can read differently
    "utf8_bom": (400, "INVALID_QUERY", ""),
    "utf16_body": (400, "INVALID_QUERY", ""),
    "nan_literal": (400, "INVALID_QUERY", ""),
    "dup_json_key": (400, "INVALID_QUERY", "features"),
    "bad_json": (400, "INVALID_QUERY", ""),
    "empty_body": (415, "UNSUPPORTED", ""),
    "no_content_type": (415, "UNSUPPORTED", ""),
    "no_content_type_at_all": (415, "UNSUPPORTED", ""),
    "full_names_string_true": (400, "INVALID_QUERY", "full_feature_names"),
    "feature_service_and_features": (400, "INVALID_QUERY", "feature_service"),
    # not `view:feature` in shape
    "whole_view_no_feature": (400, "INVALID_QUERY", ""),
    "bare_feature_name": (400, "INVALID_QUERY", ""),
    "dunder_ref": (400, "INVALID_QUERY", ""),
    "spaces_in_ref": (400, "INVALID_QUERY", ""),
    # in shape, but in no catalogue: read like denied ones
    "two_colons_ref": (403, "FEATURES_REFUSED", ""),
    "view_colon_star": (403, "FEATURES_REFUSED", ""),
    "versioned_ref": (403, "FEATURES_REFUSED", ""),
    "upper_case_ref": (403, "FEATURES_REFUSED", ""),
    "unknown_feature": (403, "FEATURES_REFUSED", ""),
    "unknown_view": (403, "FEATURES_REFUSED", ""),
    "unknown_service": (403, "FEATURES_REFUSED", ""),
    "alias_as_view_ref": (403, "FEATURES_REFUSED", ""),
    "odfv_error_leaks_value": (403, "FEATURES_REFUSED", ""),  # a view that this repository does not have
    # two columns of one name
    "duplicate_ref": (400, "INVALID_QUERY", ""),
    "feature_service_aliased_short": (400, "INVALID_QUERY", "age"),
    "ambiguous_full_name_both": (400, "INVALID_QUERY", "num__edge__big"),
    # nothing asked for, or nothing to look it up by
    "empty_features": (400, "INVALID_QUERY", ""),
    "no_features": (400, "INVALID_QUERY", ""),
    "no_entities": (400, "INVALID_QUERY", "entities"),
    "empty_entities": (400, "INVALID_QUERY", ""),
    "entity_not_list": (400, "INVALID_QUERY", "customer_id"),
    "ragged_entities": (400, "INVALID_QUERY", ""),
    "unknown_entity_key": (400, "INVALID_QUERY", "customer_id"),
    "unicode_null_entity": (400, "INVALID_QUERY", "customer_id"),
    "odfv_missing_request_data": (400, "INVALID_QUERY", "basket_total"),
    # Feast failed: its status, our body
    "odfv_bad_request_type": (500, "UPSTREAM_FAILED", ""),
    # routes: a closed list
    "method_get": (405, "METHOD_NOT_ALLOWED", ""),
    "trailing_slash": (404, "NOT_FOUND", ""),
    "double_slash": (404, "NOT_FOUND", ""),
    "percent_encoded_path": (404, "NOT_FOUND", ""),
    "dot_segment_path": (404, "NOT_FOUND", ""),
    "metrics_on_main_port": (404, "NOT_FOUND", ""),
    "openapi": (404, "NOT_FOUND", ""),
    "docs": (404, "NOT_FOUND", ""),
    "not_found": (404, "NOT_FOUND", ""),
    "chat_post": (404, "NOT_FOUND", ""),
    "vector_stores": (404, "NOT_FOUND", ""),
    "search_v1": (404, "NOT_FOUND", ""),
    "search_v2": (404, "NOT_FOUND", ""),
    "retrieve_online_documents": (404, "NOT_FOUND", ""),
    "push": (404, "NOT_FOUND", ""),
    "push_unknown_source": (404, "NOT_FOUND", ""),
    "push_bad_to": (404, "NOT_FOUND", ""),
    "write_to_online_store": (404, "NOT_FOUND", ""),
    "write_unknown_view": (404, "NOT_FOUND", ""),
    "materialize": (404, "NOT_FOUND", ""),
    "materialize_async": (404, "NOT_FOUND", ""),
    "materialize_incremental": (404, "NOT_FOUND", ""),
    "materialize_bad": (404, "NOT_FOUND", ""),
}
OTHER = {"health"}
ACCEPTED = [name for name in NAMES if name not in REFUSED and name not in OTHER]

# columns that can only be compared live, like the event timestamps: last_seen is the time at which the data was made,
# and a Map's members come in another order from each process of Feast
LIVE_ONLY = {"last_seen", "attrs"}


def request_of(name, port, token=None):
    """The recorded request, for another host, with a token."""
    head, _, body = (ONLINE / f"{name}.request.http").read_bytes().partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"host:")]
    lines.insert(1, b"Host: 127.0.0.1:%d" % port)
    lines.append(b"Connection: close")
    if token:
        lines.append(b"Authorization: Bearer " + token.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def recorded(name):
    head, _, body = (ONLINE / f"{name}.response.http").read_bytes().partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ")[1]), [], body)


def difference(got, live, record):
    """One line on the first column that differs, or None; `record` holds no timestamps that could be compared."""
    for what, want in (("Feast now", live), ("the recording", record)):
        if set(got) != set(want):
            return f"columns {sorted(got)}, {what}: {sorted(want)}"
        for name, column in want.items():
            for member, value in column.items():
                if what == "the recording" and (member == "event_timestamps" or name in LIVE_ONLY):
                    continue
                if got[name].get(member) != value:
                    return f"{name}.{member} is {got[name].get(member)!r:.200}, {what}: {value!r:.200}"
            if set(got[name]) != set(column):
                return f"{name} has {sorted(got[name])}, {what}: {sorted(column)}"
    return None


def compare(name, target_port, feast_port, token):
    """One line on what is wrong with the answer to an accepted exchange, or None."""
    answer = send_raw(target_port, request_of(name, target_port, token))
    if answer.status != 200:
        return f"status {answer.status}: {answer.body[:200]!r}"
    live = send_raw(feast_port, request_of(name, feast_port))
    return difference(columns(answer.body), columns(live.body), columns(recorded(name).body))


def test_the_table_is_of_the_recordings():
    assert len(NAMES) == 94
    assert set(REFUSED) | OTHER <= set(NAMES)
    assert len(ACCEPTED) == 34
    assert all(recorded(name).status == 200 for name in ACCEPTED)


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name, sidecar, feast, idp):
    wrong = compare(name, sidecar.port, feast.port, idp.token("full"))
    if wrong:
        pytest.fail(f"{name}: {wrong}", pytrace=False)


def assert_refused(answer, name, status, code, part):
    error = assert_error(answer, status, code, part)
    if status == 405:
        assert answer.header("allow") == "POST", "no `Allow: POST`"
    if code == "UPSTREAM_FAILED":
        said = recorded(name).body.strip(b'"')
        assert said not in answer.body and b"operand" not in answer.body, "the upstream's words went through"
    if code == "FEATURES_REFUSED":
        assert error["refused"], "no name is given"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, sidecar, idp):
    wrong = None
    try:
        answer = send_raw(sidecar.port, request_of(name, sidecar.port, idp.token("full")))
        assert_refused(answer, name, *REFUSED[name])
    except (AssertionError, KeyError, ValueError, TypeError, OSError) as error:
        wrong = str(error).splitlines()[0]
    if wrong:
        pytest.fail(f"{name}: {wrong}", pytrace=False)


def test_health_needs_no_token(sidecar):
    assert send_raw(sidecar.port, request_of("health", sidecar.port)).status == 200


def test_every_answer_carries_its_own_decision_id(sidecar, idp):
    body = {"features": ["customer_profile:age"], "entities": {"customer_id": [1]}}
    answers = [read(sidecar.port, body, idp.token("full")) for _ in range(2)]
    answers += [read(sidecar.port, body), ask(sidecar.port, "GET", "/nope"), ask(sidecar.port, "GET", READ)]
    ids = [answer.header("x-tagwarden-decision-id") for answer in answers]
    assert all(ids) and len(set(ids)) == len(ids)


def test_refs_are_named_as_the_caller_wrote_them(sidecar, idp):
    refs = ["nope:age", "customer_profile@v1:age", "customer_profile:*", "Customer_Profile:Age"]
    body = {"features": [*refs, "customer_profile:vip"], "entities": {"customer_id": [1]}}
    error = assert_error(read(sidecar.port, body, idp.token("full")), 403, "FEATURES_REFUSED")
    assert sorted(error["refused"]) == sorted(refs)


def test_no_write_came_through(sidecar, feast, idp):
    """The recorded push and write would have given customer 108 another address."""
    for name in ("push", "write_to_online_store"):
        assert send_raw(sidecar.port, request_of(name, sidecar.port, idp.token("full"))).status == 404
    answer = read(feast.port, {"features": ["customer_profile:email"], "entities": {"customer_id": [108]}})
    assert columns(answer.body)["email"]["values"] == '["user108@example.test"]'
