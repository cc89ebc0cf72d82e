"""A real Prometheus on real sidecars: the scrape is clean and whole, every rule evaluates, an alert fires and is over again."""

import re

import stack
import yaml
from support import wait_for
from test_rules import ALERTS, RULES

# The families of the contract, without the prefix; the process' own come from the library of Prometheus.
FAMILIES = """
    build_info requests_total request_duration_seconds upstream_duration_seconds overhead_seconds decisions_total
    outputs_refused_total response_columns_dropped_total tokens_total cache_requests_total cache_entries reloads_total
    snapshot_generation snapshot_loaded_timestamp_seconds snapshot_stale jwks_fetches_total jwks_age_seconds
    upstream_errors_total audit_mode audit_lines_total audit_chain_head shadow_disagreements_total connections inflight_requests
""".split()
# What the contract does not list, and is there all the same.
MORE = ["issuer_store_silence_seconds", "inflight_requests_limit"]
PROCESS = [
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds",
    "process_max_fds", "process_start_time_seconds", "process_threads",
]

# Alerts whose condition this traffic does not meet, and why. All others meet it.
QUIET = {
    "TagwardenDown": "both are up",
    "TagwardenAbsent": "both are scraped",
    "TagwardenRestarting": "they started once",
    "TagwardenDescriptorsShort": "two sidecars with little to do",
    "TagwardenPolicyStale": "mended; the last test breaks it",
    "TagwardenCertificateStale": "no TLS here",
    "TagwardenFileStale": "clients, keys and candidate load",
    "TagwardenKeysOld": "keys that were fetched a minute ago",
    "TagwardenTokensRefused": "most tokens are good",
    "TagwardenStoreSilent": "the store is a file beside it",
    "TagwardenRefusedJump": "there is no day before",
    "TagwardenAuditStalled": "lines are written",
    "TagwardenInflightNearLimit": "three callers",
    "TagwardenOverheadHigh": "it is fast, or the machine is not, which is no fault",
}


def families(text):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def test_the_scrape_is_clean(watched, sidecars):
    for sidecar in sidecars:
        status, said = stack.promtool("check", "metrics", text=sidecar.scrape())
        assert (status, said) == (0, "")


def test_what_is_wrong_with_a_scrape_is_found():
    status, said = stack.promtool("check", "metrics", text="# HELP a_total\n# TYPE a_total gauge\na_total 1\n")
    assert status != 0 and "a_total" in said


def test_every_family_is_in_the_scrape(watched, sidecars, prometheus):
    there = set(families(sidecars[0].scrape()))
    assert there == {f"tagwarden_{name}" for name in FAMILIES + MORE} | set(PROCESS)
    stored = set(prometheus.get("label/__name__/values"))
    for name, kind in families(sidecars[0].scrape()).items():
        assert (f"{name}_bucket" if kind == "histogram" else name) in stored, name


def test_the_targets_are_up(prometheus):
    active = prometheus.get("targets")["activeTargets"]
    assert [(target["labels"]["job"], target["health"], target["lastError"]) for target in active] == [("tagwarden", "up", "")] * 2


def test_what_is_counted_is_what_was_sent(sidecars, prometheus, watched):
    """Every request is counted once, under its status, with its decision; Prometheus says the same when all is quiet."""
    watched.stop()
    first, port = sidecars[0], sidecars[0].metrics
    sent = {kind: sum(n for (at, name, _), n in watched.done.items() if (at, name) == (0, kind)) for kind in stack.KINDS}
    read = '{code="%s",route="/get-online-features"}'
    for code in (200, 400, 401, 403, 500, 502, 503, 504):
        wanted = sum(sent[kind] for kind, told in stack.KINDS.items() if told[4] == code)
        series = f"tagwarden_requests_total{read % code}"
        # a request is counted when its answer is gone, so the last one may be on its way
        wait_for(lambda: first.value(series) == wanted, f"{wanted} of {code}")
        wait_for(lambda: prometheus.query(f'{series[:-1]},instance="127.0.0.1:{port}"}} == {wanted}'), f"{series} in Prometheus")
    for decision, kinds in {"filtered": ["filtered", "surplus"], "refused": ["refused", "internal"]}.items():
        series = f'tagwarden_decisions_total{{decision="{decision}",route="/get-online-features"}}'
        assert first.value(series) == sum(sent[kind] for kind in kinds)
    dropped = 'tagwarden_response_columns_dropped_total{route="/get-online-features"}'
    assert first.value(dropped) == sent["surplus"]
    assert first.value('tagwarden_outputs_refused_total{permission="Deny"}') == sent["refused"]
    assert first.value('tagwarden_shadow_disagreements_total{change="wider"}') == sent["internal"]
    assert first.value('tagwarden_upstream_errors_total{kind="unreadable"}') == sent["unreadable"]
    assert first.value('tagwarden_upstream_errors_total{kind="timeout"}') == sent["hanging"]
    assert first.value('tagwarden_reloads_total{kind="policy",result="failed"}') == 6


def test_every_rule_evaluates(prometheus, watched):
    def healthy():
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        return [(rule["name"], rule["health"], rule.get("lastError")) for rule in rules]

    wait_for(lambda: all(health != "unknown" for _, health, _ in healthy()), "each rule to be evaluated")
    assert sorted(healthy(), key=str) == sorted(((rule.get("alert") or rule["record"], "ok", None) for rule in RULES), key=str)


def test_every_expression_of_a_rule_finds_something(prometheus, watched):
    for rule in RULES:
        name = rule.get("alert") or rule["record"]
        if name not in QUIET:
            wait_for(lambda: prometheus.query(rule["expr"]), f"an answer to {name}")
        else:
            prometheus.query(rule["expr"])
        if "record" in rule:
            assert prometheus.query(name), name
    assert set(QUIET) <= set(ALERTS)


def test_an_alert_fires_and_ends(prometheus, sidecars, watched):
    first = sidecars[0]

    def state():
        alerts = [alert for alert in prometheus.get("alerts")["alerts"] if alert["labels"]["alertname"] == "TagwardenPolicyStale"]
        return [(alert["labels"]["instance"], alert["labels"]["kind"], alert["state"]) for alert in alerts]

    assert state() == []
    good = first.policy.read_text()
    first.policy.write_text("version: 1\nroles: [broken]\n")
    wanted = [(f"127.0.0.1:{first.metrics}", "policy", "firing")]
    wait_for(lambda: state() == wanted, "the alert to fire")
    (alert,) = [one for one in prometheus.get("alerts")["alerts"] if one["labels"]["alertname"] == "TagwardenPolicyStale"]
    assert alert["annotations"]["summary"] == f"127.0.0.1:{first.metrics} serves an old policy"
    first.policy.write_text(good)
    wait_for(lambda: state() == [], "the alert to end")


def test_the_configuration_of_the_page_is_one(prometheus):
    status, said = stack.promtool("check", "config", prometheus.config)
    assert status == 0 and f"{len(RULES)} rules found" in said and "FAILED" not in said, said
    job = yaml.safe_load(prometheus.config.read_text())["scrape_configs"][0]
    assert job["job_name"] == "tagwarden"


def test_prometheus_says_nothing_is_wrong(prometheus):
    assert "level=error" not in prometheus.process.log.read_text() and "level=warn" not in prometheus.process.log.read_text()
