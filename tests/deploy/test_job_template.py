"""The job that a Prefect worker of type kubernetes makes from our template, tested without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes_validate import validate
from prefect.client.schemas.objects import FlowRun
from prefect.utilities.templating import apply_values
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from tests.deploy.test_descriptions import KUBERNETES, VERSION

TEMPLATE: Path = KUBERNETES / "job-template.json"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """Return the manifest for a run of a deployment that names its image."""
    template = json.loads(TEMPLATE.read_text())
    defaults = {name: each.get("default") for name, each in template["variables"]["properties"].items()}
    chosen = {"image": "registry.example.org/derain-flows:0.1.0", "env": {"DERAIN_SOURCE": "s3://photos"}}
    values = {name: value for name, value in {**defaults, **chosen}.items() if value is not None}
    configuration = KubernetesWorkerJobConfiguration(**apply_values(template["job_configuration"], values))
    configuration.prepare_for_flow_run(FlowRun(name="busy-heron", flow_id="0" * 32))
    return configuration.job_manifest


def test_kubernetes_takes_the_job(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    needless = {"completions", "parallelism"}  # Prefect requires them here, but Kubernetes does not know them
    allowed = {name: value for name, value in pod.items() if name not in needless}
    template = {**job["spec"]["template"], "spec": allowed}
    validate({**job, "spec": {**job["spec"], "template": template}}, VERSION, strict=True)


def test_the_job_runs_the_flow_run_in_the_image_that_was_chosen(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/derain-flows:0.1.0"
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert {"name": "DERAIN_SOURCE", "value": "s3://photos"} in container["env"]


def test_the_job_has_no_privileges(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
