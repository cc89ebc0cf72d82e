"""The dashboard: whole as Grafana reads it, each of its queries answered by a real Prometheus, and drawn."""

import json
import os
import re
import struct
import time
from itertools import combinations

import picture
import pytest
import stack
from test_live import FAMILIES, MORE, PROCESS, families

DASHBOARD = json.loads(stack.DASHBOARD.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# The units that are used, of those Grafana has.
UNITS = {"none", "short", "reqps", "ops", "percentunit", "s", "bytes"}
PICTURES = stack.ROOT / "docs/images"


def test_the_head_is_what_grafana_imports():
    assert (DASHBOARD["id"], DASHBOARD["uid"], DASHBOARD["title"]) == (None, "tagwarden", "tagwarden")
    assert DASHBOARD["schemaVersion"] == 42  # of Grafana 13; older ones read it, newer ones migrate it
    assert "__inputs" not in DASHBOARD, "a provisioned dashboard is not asked for its inputs"
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "docs", "job", "instance", "route"]
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    for name in ("job", "instance", "route"):
        assert variables[name]["definition"] == variables[name]["query"]["query"]
    assert all(link["url"].startswith("${docs}") for link in DASHBOARD["links"]) and len(DASHBOARD["links"]) == 2
    assert (stack.ROOT / variables["docs"]["query"]).is_file()
    # A ConfigMap holds a MiB at most.
    assert stack.DASHBOARD.stat().st_size < 500_000


def test_no_two_panels_are_one_or_lie_upon_each_other():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["w"] > 0 and place["h"] > 0 and place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations(DASHBOARD["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart, (one["title"], other["title"])
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Health at a glance", "Traffic and latency", "Decisions and refusals", "Caches", "Reloads and keys", "Upstream", "Resources",
        "Shadow and audit",
    ]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_is_whole(panel):
    data = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["title"] and panel["description"].endswith(".") and panel["datasource"] == data
    fields = panel["fieldConfig"]["defaults"]
    assert fields["unit"] in UNITS
    steps = fields["thresholds"]["steps"]
    assert steps[0]["value"] is None and all(a["value"] < b["value"] for a, b in zip(steps[1:], steps[2:]))
    assert panel["targets"] and len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["expr"] and target["refId"] and target["legendFormat"] and target["datasource"] == data
        # Each series is chosen by the variables; only what says which processes are ours is not.
        for name, labels in re.findall(r"(tagwarden_\w+|process_\w+)(\{[^}]*\})?", target["expr"].replace("tagwarden_build_info)", ")")):
            if not (name == "tagwarden_build_info" and not labels):
                assert 'job=~"$job", instance=~"$instance"' in labels, target["expr"]


def test_only_metrics_that_are_there_and_all_of_them():
    known = {f"tagwarden_{name}" for name in FAMILIES + MORE} | set(PROCESS)
    used = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for panel in PANELS for target in panel["targets"] for name in re.findall(r"(?:tagwarden|process)_\w+", target["expr"])
    }
    assert used <= known, used - known
    unused = known - used
    assert unused == {
        # shown in other words, or of no use on a page
        "process_virtual_memory_bytes", "process_max_fds", "process_start_time_seconds", "process_threads",
    }, unused


def test_the_variables_find_what_is_there(prometheus, watched, sidecars):
    def values(query):
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", picture.filled(query, "1m")).groups()
        return set(prometheus.get(f"label/{label}/values", **{"match[]": series}))

    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert values(variables["job"]["definition"]) == {"tagwarden"}
    assert values(variables["instance"]["definition"]) == {f"127.0.0.1:{sidecar.metrics}" for sidecar in sidecars}
    assert {"/get-online-features", "other"} <= values(variables["route"]["definition"])
    assert families(sidecars[0].scrape())


def png_size(file):
    head = file.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", file
    return struct.unpack(">II", head[16:24])


def test_every_panel_answers_and_is_drawn(prometheus, watched, tmp_path):
    """Each query has an answer with something in it, and each panel shows it. TAGWARDEN_BLESS=1 keeps the pictures."""
    end = time.time()
    start = end - (time.monotonic() - watched.begun) + 6
    interval = f"{max(8, int(end - start) // 10)}s"
    results = picture.answers(prometheus, DASHBOARD, start, end, interval, step=max(1, int(end - start) // 120))
    for panel in PANELS:
        for target, answer in zip(panel["targets"], results[panel["id"]]):
            assert answer, f"{panel['title']}: nothing for `{target['expr']}`"
    note = time.strftime("drawn from dashboard.json and a real Prometheus, %Y-%m-%d", time.gmtime(end))
    for theme, name in (("light", "dashboard.png"), ("dark", "dashboard-dark.png")):
        file = tmp_path / name
        report = picture.draw(tmp_path / theme, picture.page(DASHBOARD, results, theme, note), file)
        assert set(report) == {str(panel["id"]) for panel in PANELS}
        for panel in PANELS:
            told = report[str(panel["id"])]
            assert told["series"] >= 1, panel["title"]
            if panel["type"] == "timeseries":
                # each panel has at least one line of some length; one that lies under another is not seen
                assert max(told["painted"]) > 60, (panel["title"], told)
            elif panel["type"] == "stat":
                assert all(text and "NaN" not in text and "undefined" not in text for text in told["texts"]), (panel["title"], told)
            else:
                assert max(told["widths"]) > 50, (panel["title"], told)
        assert png_size(file) == (picture.WIDTH, png_size(file)[1]) and png_size(file)[1] > 1500
        if os.environ.get("TAGWARDEN_BLESS"):
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / name).write_bytes(file.read_bytes())


def test_the_kept_pictures_are_shown():
    page = stack.DOCS.read_text()
    for name in ("dashboard.png", "dashboard-dark.png"):
        assert f"images/{name}" in page and png_size(PICTURES / name)[0] == picture.WIDTH
