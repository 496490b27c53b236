"""What deploy/ declares, read once for the tests beside this file: the plain manifests,
and the charts as real Helm renders them."""

import pathlib
import shutil
import tempfile

import helm_python as helm
import yaml

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm/octavia-authz"


def plain(*names):
    """The objects of files in deploy/kubernetes; of all of them without names."""
    files = [DEPLOY / "kubernetes" / name for name in names] or sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def rendered(values=None, name="octavia-authz", namespace="octavia-authz", chart=CHART):
    """The objects that Helm makes of a chart, and its notes."""
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(values or {})
        files = loaded.render(values or {}, name=name, namespace=namespace)
    notes = "".join(text for path, text in files.items() if path.endswith("NOTES.txt"))
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document], notes


def app_chart(folder):
    """The sample app's chart with the dependency in place, as `helm dependency build` leaves it."""
    chart = pathlib.Path(folder) / "articles"
    shutil.copytree(DEPLOY / "helm/articles", chart, ignore=shutil.ignore_patterns("charts"))
    shutil.copytree(CHART, chart / "charts/octavia-authz")
    return chart


def rendered_app(values=None):
    """The objects of the sample app."""
    with tempfile.TemporaryDirectory() as folder:
        return rendered(values, "articles", "default", app_chart(folder))[0]


def pods(documents):
    """Each pod specification, with what it belongs to."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            yield document, spec
        elif document["kind"] == "CronJob":
            yield document, spec["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in spec:
            yield document, spec["template"]["spec"]


def containers(pod):
    """All containers of a pod specification."""
    return pod.get("initContainers", []) + pod["containers"]
