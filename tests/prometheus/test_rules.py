"""The rules: promtool's own checks and unit tests, that each rule has some, and that each alert has its runbook."""

import re

import pytest
import stack
import yaml

UNIT_TESTS = sorted((stack.HERE / "rules").glob("*.yaml"))
RULES = [rule for group in yaml.safe_load(stack.RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def cases():
    return [case for file in UNIT_TESTS for case in yaml.safe_load(file.read_text())["tests"]]


def test_the_rules_are_whole():
    status, said = stack.promtool("check", "rules", "--lint-fatal", stack.RULES)
    assert status == 0 and f"{len(RULES)} rules found" in said, said


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_unit_tests(file):
    status, said = stack.promtool("test", "rules", file)
    assert status == 0 and "SUCCESS" in said, said


def test_each_alert_has_a_case_that_fires_and_one_that_does_not():
    tested = [(one["alertname"], bool(one["exp_alerts"])) for case in cases() for one in case.get("alert_rule_test", ())]
    assert {name for name, fires in tested if fires} == set(ALERTS)
    assert {name for name, fires in tested if not fires} == set(ALERTS)
    for case in cases():
        for one in case.get("alert_rule_test", ()):
            assert case["name"].startswith(one["alertname"] + ": "), case["name"]


def test_each_recording_rule_has_a_case():
    expressions = " ".join(one["expr"] for case in cases() for one in case.get("promql_expr_test", ()))
    assert set(re.findall(r"job[a-z_]*:\w+:\w+", expressions)) == {rule["record"] for rule in RULES if "record" in rule}


def test_a_rule_that_is_wrong_is_found(tmp_path):
    """The unit tests of one alert fail where its rule says something else."""
    text = stack.RULES.read_text()
    wrong = text.replace("requests_limit > 0.8", "requests_limit > 0.99")
    assert wrong != text
    (tmp_path / "rules.yaml").write_text(wrong)
    one = yaml.safe_load((stack.HERE / "rules/alerts.yaml").read_text())
    one |= {
        "rule_files": ["rules.yaml"],
        "tests": [case for case in one["tests"] if case["name"].startswith("TagwardenInflightNearLimit: ")],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(one))
    status, said = stack.promtool("test", "rules", tmp_path / "test.yaml")
    assert status == 1 and "TagwardenInflightNearLimit" in said, said


def test_each_alert_says_what_it_is_and_where_to_read_on():
    page = stack.DOCS.read_text()
    headings = re.findall(r"^### (Tagwarden\w+)$", page, re.M)
    assert sorted(headings) == sorted(ALERTS), "each alert has its heading, and no other"
    for name, rule in ALERTS.items():
        assert rule["labels"] == {"severity": rule["labels"]["severity"]} and rule["labels"]["severity"] in ("critical", "warning")
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url"} and all(notes.values()), name
        assert notes["runbook_url"] == f"docs/monitoring.md#{name.lower()}"


def test_the_file_is_no_template_of_the_chart():
    for held in re.findall(r"\{\{(.*?)\}\}", stack.RULES.read_text()):
        assert re.fullmatch(r" \$(labels\.\w+|value( \| \w+)?) ", held), held
