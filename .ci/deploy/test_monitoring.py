"""Alerts and dashboard: complete, parsable, and about metrics that there are. Run by
.ci/checks-deploy; OCTAVIA_IMAGE_SAYS is the folder that start-image filled."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from manifests import DEPLOY, containers, plain, pods, rendered, rendered_app

RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
DASHBOARD = json.loads((DEPLOY / "grafana/octavia-authz.json").read_text())
README = (DEPLOY / "README.md").read_text()
# What Kubernetes' own exporter says, and what Prometheus itself makes.
FOREIGN = {"kube_cronjob_created", "kube_cronjob_status_last_successful_time", "up"}


def anchors(markdown):
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dashboard_queries():
    """Each expression of the dashboard, its variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def said(name):
    """A file that start-image has left, or a skip that says what is missing."""
    file = pathlib.Path(os.environ.get("OCTAVIA_IMAGE_SAYS", "/nonexistent")) / name
    if not file.exists():
        raise unittest.SkipTest(f"no {name}: the image was not started")
    return file.read_text()


class Alerts(unittest.TestCase):
    def test_each_says_what_is_wrong_and_what_to_do(self):
        self.assertGreater(len(ALERTS), 20)
        headings = anchors(README)
        for alert in ALERTS:
            with self.subTest(alert["alert"]):
                self.assertIn(alert["labels"]["severity"], ("page", "ticket"))
                self.assertEqual(set(alert["annotations"]), {"summary", "description", "runbook_url"})
                file, anchor = alert["annotations"]["runbook_url"].split("#")
                self.assertEqual((file, anchor), ("deploy/README.md", alert["alert"].lower()))
                self.assertIn(anchor, headings)

    def test_each_is_tested(self):
        tests = (DEPLOY / "prometheus/alerts.test.yaml").read_text()
        for alert in ALERTS:
            self.assertIn(alert["alert"], tests)

    def test_the_guide_has_no_alert_that_is_gone(self):
        told = set(re.findall(r"^### (OctaviaAuthz\w+)$", README, re.M))
        self.assertEqual(told, {alert["alert"] for alert in ALERTS})


class Guide(unittest.TestCase):
    def test_its_links_lead_somewhere(self):
        for text, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", README):
            with self.subTest(target):
                file, _, anchor = target.partition("#")
                if target.startswith("https://"):
                    continue
                path = (DEPLOY / file) if file else DEPLOY / "README.md"
                self.assertTrue(path.exists())
                if anchor:
                    self.assertIn(anchor, anchors(path.read_text()))


class Dashboard(unittest.TestCase):
    def test_panels_have_a_place_and_a_number_of_their_own(self):
        panels = DASHBOARD["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            with self.subTest(panel["title"]):
                self.assertLessEqual(at["x"] + at["w"], 24)
                self.assertFalse(taken & cells, "two panels in one place")
                self.assertTrue(panel["type"] == "row" or panel["description"])
            taken |= cells

    def test_every_query_is_promql(self):
        rules = [{"record": f"q{n}", "expr": expr} for n, (_, expr) in enumerate(dashboard_queries())]
        self.assertGreater(len(rules), 30)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
            file.flush()
            checked = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_alerts_that_it_names_exist(self):
        named = set(re.findall(r"OctaviaAuthz\w+", json.dumps(DASHBOARD)))
        self.assertLessEqual(named, {alert["alert"] for alert in ALERTS})


class Names(unittest.TestCase):
    """What deploy/ relies on, against what the program in the image says of itself."""

    def test_metrics_that_are_asked_for_exist(self):
        known = set(re.findall(r"^# TYPE (\w+) ", said("metrics"), re.M))
        queries = list(dashboard_queries()) + [(rule.get("alert", "rule"), rule["expr"]) for group in RULES["groups"] for rule in group["rules"]]
        for where, query in queries:
            for name in re.findall(r"\b(?:octavia_authz|process|kube)_\w+", re.sub(r'"[^"]*"', "", query)):
                family = re.sub(r"_(bucket|sum|count)$", "", name)
                # OpenMetrics names a counter's family without `_total`.
                found = {name, family, re.sub(r"_total$", "", name)} & known
                self.assertTrue(found or name in FOREIGN, f"{where}: {name}")

    def test_flags_that_are_set_exist(self):
        flags = set(re.findall(r"OCTAVIA_AUTHZ_\w+", said("help")))
        documents = plain() + rendered()[0] + rendered({"tls": {"enabled": False, "allowPlaintext": True}})[0] + rendered_app()
        for document, pod in pods(documents):
            for container in containers(pod):
                for variable in container.get("env", []):
                    name = variable["name"]
                    if name.startswith("OCTAVIA_AUTHZ_"):
                        self.assertIn(name, flags, document["metadata"]["name"])


if __name__ == "__main__":
    unittest.main()
