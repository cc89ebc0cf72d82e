"""The picture of the dashboard: its panels, drawn from the answers of a Prometheus, by Chromium. Not by Grafana: no registry that
the tests use has it (page.html says what is taken from where)."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import stack

WIDTH = 1600
# Nothing of it asks the network for anything.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1",
]


def filled(expression, interval):
    """An expression of the dashboard, with everything chosen."""
    text = expression.replace("$__rate_interval", interval)
    for name in ("job", "instance", "route"):
        text = text.replace(f'"${name}"', '".*"')
    assert "$" not in text, text
    return text


def answers(prometheus, dashboard, start, end, interval, step):
    """Of each panel, by its id, the answer to each of its targets: a list of series."""
    found = {}
    for panel in dashboard["panels"]:
        found[panel["id"]] = [
            prometheus.query(filled(target["expr"], interval)) if target["instant"] else
            prometheus.get("query_range", query=filled(target["expr"], interval), start=start, end=end, step=step)["result"]
            for target in panel.get("targets", ())
        ]
    return found


def page(dashboard, results, theme, note):
    uplot = Path(os.environ["TAGWARDEN_PICTURE"]) / "node_modules/uplot/dist"
    text = (stack.HERE / "picture/page.html").read_text()
    data = json.dumps({"dashboard": dashboard, "results": results, "theme": theme, "note": note}).replace("</", "<\\/")
    for place, held in (
        ("/*UPLOT_CSS*/", (uplot / "uPlot.min.css").read_text()), ("/*UPLOT_JS*/", (uplot / "uPlot.iife.min.js").read_text()),
        ("/*DATA*/", data),
    ):
        assert text.count(place) == 1
        text = text.replace(place, held)
    return text


def chromium(folder, *arguments):
    binary = shutil.which("chromium")
    assert binary, "chromium is not installed"
    done = subprocess.run(
        [binary, *FLAGS, f"--user-data-dir={folder}", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, env=os.environ | {"HOME": str(folder)}, check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


def draw(folder, text, png):
    """Draws a page into a file, and gives its own report: what each panel shows."""
    folder.mkdir()
    html = folder / "page.html"
    html.write_text(text)
    tree, errors = chromium(folder / "profile-1", f"--window-size={WIDTH},2400", "--virtual-time-budget=5000", "--dump-dom", html.as_uri())
    told = re.search(r'<script type="application/json" id="report">(.*?)</script>', tree, re.S).group(1)
    assert told, f"the page did not come to its end\n{errors[-2000:]}"
    report = json.loads(told)
    chromium(
        folder / "profile-2", f"--window-size={WIDTH},{report['height']}", "--virtual-time-budget=5000", f"--screenshot={png}", html.as_uri()
    )
    return report["panels"]
