"""Manifests and charts: valid for Kubernetes, the same thing said twice, locked down, and
never two stores where one is meant. Run by .ci/checks-deploy."""

import tempfile
import unittest

import helm_python as helm
import kubernetes_validate
from manifests import CHART, app_chart, containers, plain, pods, rendered, rendered_app

# The oldest that the manifests are for, and the newest that the validator has.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]

EVERYTHING = {
    "image": {"repository": "example.com/octavia-authz", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "tls": {"clientCa": True},
    "policy": "built_in = false\n",
    "extraEnv": [{"name": "OCTAVIA_AUTHZ_AUDIT_RETENTION", "value": "365d"}],
    "persistence": {"storageClassName": "fast", "accessMode": "ReadWriteOnce"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "backup": {"storageClassName": "slow", "clientSecretName": "backup-client"},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
}
LEAST = {
    "backup": {"enabled": False},
    "secret": {"pepper": False},
    "tls": {"enabled": False, "allowPlaintext": True},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
}
APP_EVERYTHING = {"octavia-authz": {"sidecar": {"policyConfigMap": "articles-policy"}, "extraEnv": EVERYTHING["extraEnv"]}}
APP_LEAST = {"octavia-authz": {"sidecar": {"secretName": ""}}}


def every_document():
    return (
        plain()
        + [object for values in ({}, EVERYTHING, LEAST) for object in rendered(values)[0]]
        + [object for values in ({}, APP_EVERYTHING, APP_LEAST) for object in rendered_app(values)]
    )


def compared(documents):
    """What has to be the same in chart and manifest: all but Helm's labels and defaults that it spells out."""
    kept = {}
    for document in documents:
        if document["kind"] == "Namespace":
            continue
        body = {key: value for key, value in document.items() if key not in ("metadata", "apiVersion", "kind")}
        for _, pod in pods([document]):
            for container in containers(pod):
                container.pop("imagePullPolicy", None)
        kept[f"{document['kind']} {document['metadata']['name']}"] = body
    return kept


class Manifests(unittest.TestCase):
    maxDiff = None

    def test_all_of_them_are_valid_for_kubernetes(self):
        documents = every_document()
        self.assertGreater(len(documents), 30)
        for document in documents:
            if document["kind"] == "ServiceMonitor":  # not Kubernetes' own
                continue
            for version in VERSIONS:
                with self.subTest(kind=document["kind"], name=document["metadata"]["name"], version=version):
                    kubernetes_validate.validate(document, version, strict=True)

    def test_the_chart_makes_what_the_plain_manifests_say(self):
        chart, _ = rendered()
        self.assertEqual(compared(chart), compared(plain("standalone.yaml", "backup-cronjob.yaml")))

    def test_the_sidecar_template_makes_what_the_plain_manifest_says(self):
        self.assertEqual(compared(rendered_app()), compared(plain("sidecar.yaml")))

    def test_no_variable_is_set_twice(self):
        for document, pod in pods(every_document()):
            for container in containers(pod):
                names = [variable["name"] for variable in container.get("env", [])]
                self.assertEqual(len(names), len(set(names)), document["metadata"]["name"])

    def test_a_policy_names_no_port_of_an_init_container(self):
        # Older Calico finds names of ports in `containers` only.
        for document in plain("sidecar.yaml") + rendered_app():
            if document["kind"] == "NetworkPolicy":
                for rule in document["spec"]["ingress"]:
                    for port in rule["ports"]:
                        self.assertIsInstance(port["port"], int)

    def test_a_roll_back_does_not_wait_for_a_broken_pod(self):
        for document in every_document():
            if document["kind"] == "StatefulSet":
                self.assertEqual(document["spec"]["podManagementPolicy"], "Parallel")

    def test_no_container_may_more_than_it_needs(self):
        for document, pod in pods(every_document()):
            with self.subTest(document["metadata"]["name"]):
                self.assertFalse(pod["automountServiceAccountToken"])
                # Else OCTAVIA_AUTHZ_PORT=tcp://… of a Service would be taken for a flag.
                self.assertFalse(pod["enableServiceLinks"])
                self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                # Anything else makes the private files in the volume the group's.
                self.assertEqual(pod["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch")
                for container in containers(pod):
                    security = container["securityContext"]
                    user = security.get("runAsUser", pod["securityContext"].get("runAsUser"))
                    self.assertGreater(user, 0)
                    self.assertTrue(security["readOnlyRootFilesystem"])
                    self.assertFalse(security["allowPrivilegeEscalation"])
                    self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                    self.assertIn("memory", container["resources"]["limits"])
                    self.assertNotIn("cpu", container["resources"]["limits"])
                    for variable in container.get("env", []):
                        self.assertNotIn("secretKeyRef", str(variable), "secrets are files")
                    if container["name"] == "octavia-authz" or ":latest" in container["image"]:
                        self.assertRegex(container["image"], r":\d+\.\d+\.\d+$")

    def test_keys_are_never_in_two_places(self):
        claims = []
        for document, pod in pods(every_document()):
            for container in containers(pod):
                mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
                if "/var/lib/octavia-authz" not in mounts or document["kind"] == "Pod":
                    continue
                with self.subTest(document["metadata"]["name"]):
                    self.assertEqual(document["spec"]["replicas"], 1)
                    volume = [v for v in pod["volumes"] if v["name"] == mounts["/var/lib/octavia-authz"]]
                    claims += [v["persistentVolumeClaim"]["claimName"] for v in volume]
                    if document["kind"] == "Deployment":
                        self.assertEqual(document["spec"]["strategy"], {"type": "Recreate"})
                    else:
                        [template] = document["spec"]["volumeClaimTemplates"]
                        self.assertEqual(template["metadata"]["name"], mounts["/var/lib/octavia-authz"])
        self.assertIn("articles-authz", claims)
        for document in every_document():
            if document["kind"] == "PersistentVolumeClaim" and document["metadata"]["name"] in claims:
                self.assertEqual(document["spec"]["accessModes"], ["ReadWriteOncePod"])

    def test_a_pod_has_the_time_to_stop(self):
        lameduck, drain, reserve = 2, 10, 3
        for document, pod in pods(every_document()):
            if document["kind"] in ("StatefulSet", "Deployment"):
                apps = 30 if document["kind"] == "Deployment" else 0
                self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], apps + lameduck + drain + reserve)

    def test_the_three_probes_ask_three_questions(self):
        asked = 0
        for document, pod in pods(every_document()):
            for container in containers(pod):
                if "startupProbe" in container:
                    asked += 1
                    for probe in ("startup", "readiness", "liveness"):
                        self.assertEqual(container[f"{probe}Probe"]["grpc"], {"port": 9464, "service": probe})
        self.assertEqual(asked, 8)


class Chart(unittest.TestCase):
    def refused(self, words, values, chart=CHART):
        with self.assertRaises(helm.HelmError) as refused:
            rendered(values, chart=chart)
        self.assertIn(words, str(refused.exception))

    def test_lint_finds_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            for chart in (CHART, app_chart(folder)):
                report = helm.lint(chart, {}, strict=True, with_subcharts=True)
                self.assertEqual(report["errors"], [])
                self.assertEqual([m for m in report["messages"] if m["severity"] > 1], [])

    def test_what_cannot_be_set_is_refused(self):
        self.refused("replicaCount", {"replicaCount": 3})
        self.refused("replicas", {"standalone": {"replicas": 2}})
        self.refused("accessMode", {"persistence": {"accessMode": "ReadWriteMany"}})
        self.refused("workers", {"workers": 0})
        self.refused("keepDays", {"backup": {"keepDays": 0}})
        self.refused("clients", {"networkPolicy": {"clients": []}})
        self.refused("folder", {"persistence": {"folder": "../data"}})

    def test_a_variable_that_the_chart_sets_is_refused(self):
        twice = [{"name": "OCTAVIA_AUTHZ_DATA_DIR", "value": "/var/lib/octavia-authz/restored"}]
        self.refused("OCTAVIA_AUTHZ_DATA_DIR is set already", {"extraEnv": twice})
        self.refused("RUST_LOG is set already", {"extraEnv": [{"name": "RUST_LOG", "value": "info"}] * 2})
        with tempfile.TemporaryDirectory() as folder:
            self.refused("OCTAVIA_AUTHZ_DATA_DIR is set already", {"octavia-authz": {"extraEnv": twice}}, app_chart(folder))

    def test_what_was_restored_is_what_is_served(self):
        documents = rendered({"persistence": {"folder": "restored-2026-11-29"}})[0]
        documents += rendered_app({"octavia-authz": {"sidecar": {"folder": "restored-2026-11-29"}}})
        served = [
            variable["value"]
            for _, pod in pods(documents)
            for container in containers(pod)
            for variable in container.get("env", [])
            if variable["name"] == "OCTAVIA_AUTHZ_DATA_DIR"
        ]
        self.assertEqual(served, ["/var/lib/octavia-authz/restored-2026-11-29"] * 2)

    def test_uninstalling_an_app_keeps_its_keys(self):
        [claim] = [d for d in rendered_app() if d["kind"] == "PersistentVolumeClaim"]
        self.assertEqual(claim["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})

    def test_plain_text_has_to_be_asked_for(self):
        self.refused("tls.allowPlaintext", {"tls": {"enabled": False}})
        documents, notes = rendered(LEAST)
        [(stateful_set, pod)] = [(d, p) for d, p in pods(documents) if d["kind"] == "StatefulSet"]
        self.assertIn({"name": "OCTAVIA_AUTHZ_ALLOW_PLAINTEXT", "value": "true"}, pod["containers"][0]["env"])
        self.assertNotIn("tls", str(pod))
        self.assertIn("PLAIN TEXT", notes)

    def test_a_backup_that_would_not_be_let_in_is_refused(self):
        self.refused("show a client certificate", {"tls": {"clientCa": True}})

    def test_a_new_policy_restarts_the_pod(self):
        def checksum(policy):
            [template] = [d["spec"]["template"] for d in rendered({"policy": policy})[0] if d["kind"] == "StatefulSet"]
            return template["metadata"]["annotations"]["checksum/policy"]

        self.assertNotEqual(checksum("built_in = false\n"), checksum("built_in = true\n"))

    def test_a_release_of_another_name_is_whole(self):
        documents, notes = rendered(name="blue", namespace="authz")
        self.assertEqual({d["metadata"]["namespace"] for d in documents}, {"authz"})
        self.assertIn("blue-octavia-authz.authz.svc:50051 (TLS)", notes)
        [(_, pod)] = [(d, p) for d, p in pods(documents) if d["kind"] == "CronJob"]
        self.assertIn("https://blue-octavia-authz.authz.svc:50052", str(pod["initContainers"][0]["env"]))

    def test_the_notes_make_the_secrets_that_the_pod_waits_for(self):
        _, notes = rendered()
        for needed in ("octavia-authz", "octavia-authz-tls", "pepper", "operator.token", "octavia-authz/client=true"):
            self.assertIn(needed, notes)

    def test_a_sidecar_needs_a_claim_and_no_standalone_beside_it(self):
        with tempfile.TemporaryDirectory() as folder:
            chart = app_chart(folder)
            self.refused("PersistentVolumeClaim", {"octavia-authz": {"sidecar": {"claim": ""}}}, chart)
            self.refused("standalone.enabled", {"octavia-authz": {"standalone": {"enabled": True}}}, chart)


if __name__ == "__main__":
    unittest.main()
