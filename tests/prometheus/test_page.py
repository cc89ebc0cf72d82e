"""docs/monitoring.md: every metric with its type and labels is in the scrape, and the other way round; its commands are those that ran."""

import re

import stack
import yaml
from conftest import blocks
from test_live import families

ROW = re.compile(r"^\| `((?:tagwarden|process)_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", re.M)


def labels_of(text):
    found = {}
    for name, labels in re.findall(r"^(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$", text, re.M):
        found.setdefault(name, set()).update(set(re.findall(r'(\w+)="', labels or "")) - {"le"})
    return found


def test_each_metric_is_told_with_its_type_and_labels(watched, sidecars):
    """Both ways, against what a sidecar really shows."""
    text = "".join(sidecar.scrape() for sidecar in sidecars)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in ROW.findall(stack.DOCS.read_text())}
    there = labels_of(text)
    assert told == {name: (kind, there[name]) for name, kind in families(text).items()}


def test_each_value_of_a_label_that_came_is_told(watched, sidecars):
    """But for routes, statuses, issuers and versions, which are other people's words."""
    text = "".join(sidecar.scrape() for sidecar in sidecars)
    meanings = {name: meaning for name, _, _, meaning in ROW.findall(stack.DOCS.read_text())}
    lists = meanings | {"tagwarden_snapshot_stale": meanings["tagwarden_reloads_total"],
                        "tagwarden_snapshot_generation": meanings["tagwarden_reloads_total"],
                        "tagwarden_snapshot_loaded_timestamp_seconds": meanings["tagwarden_reloads_total"],
                        "tagwarden_cache_entries": meanings["tagwarden_cache_requests_total"]}
    came = {
        (name, value)
        for name, labels in re.findall(r"^(tagwarden_\w+)\{(.*)\} \S+$", text, re.M)
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels) if label not in ("route", "code", "issuer", "version", "le")
    }
    assert len(came) > 40
    for name, value in came:
        assert f"`{value}`" in lists[name], (name, value)


def test_the_graph_of_refusals_is_there(prometheus, watched):
    """What the page's five minutes end with."""
    (expression,) = re.findall(r"```text\n(sum .*)\n```", stack.DOCS.read_text())
    answer = prometheus.query(expression)
    assert [one["metric"] for one in answer if float(one["value"][1]) > 0] == [{"route": "/get-online-features"}]
    assert prometheus.query("job_route:tagwarden_refused:ratio_rate5m > 0")


def test_the_service_monitor_is_one():
    (text,) = blocks("servicemonitor.yaml")
    monitor = yaml.safe_load(text)
    assert (monitor["kind"], monitor["spec"]["endpoints"][0]["path"]) == ("ServiceMonitor", "/metrics")


def test_every_link_into_the_page_leads_to_a_heading():
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
                for line in re.findall(r"^#+ (.*)$", stack.DOCS.read_text(), re.M)}
    linked = re.findall(r"monitoring\.md#([\w-]+)", stack.RULES.read_text())
    linked += re.findall(r"\$\{docs\}#([\w-]+)", stack.DASHBOARD.read_text())
    assert len(linked) > 20 and set(linked) <= headings
