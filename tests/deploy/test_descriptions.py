"""Descriptions of installations are well-formed, require no privileges, and open no port beyond loopback."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from kubernetes_validate import validate

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSION = "1.37"
MANIFESTS = sorted(
    path
    for path in KUBERNETES.rglob("*.yaml")
    if path.name != "kustomization.yaml" and "overlays/gpu" not in str(path) and "s3-example" not in str(path)
)
"""Whole objects; files of other overlays are patches of these."""
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())


def test_the_dockerfile_has_no_faults() -> None:
    ended = subprocess.run(
        [BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


def test_images_get_nothing_but_what_is_named() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    named = {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in named)
    assert not named & {"tests", "benchmarks", ".env", "storage.env", "."}


def test_the_compose_file_is_one() -> None:
    assert "worker" in PyCompose.from_yaml(yaml.safe_dump(composed())).service_names()


def test_a_fault_in_the_compose_file_is_found() -> None:
    wrong = composed()
    wrong["services"]["worker"]["restrat"] = "always"
    with pytest.raises(ValueError, match="restrat"):
        PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_nothing_listens_beyond_loopback_unasked() -> None:
    services = composed()["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all("network_mode" not in service for service in services.values())


def test_compose_needs_a_password() -> None:
    ended = podman_compose(POSTGRES_PASSWORD="")
    assert ended.returncode != 0
    assert "POSTGRES_PASSWORD" in ended.stderr


def test_our_containers_have_no_privileges() -> None:
    ours = {name: each for name, each in composed()["services"].items() if each["image"] == "derain-flows"}
    assert set(ours) == set(composed()["services"]) - {"postgres"}
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "10001:10001"


def test_one_service_builds_the_image_of_all() -> None:
    """podman-compose would build it once per container, all at the same time."""
    assert [name for name, each in composed()["services"].items() if "build" in each] == ["deployments"]


def test_images_of_a_registry_have_their_full_names() -> None:
    """podman takes `postgres:17` from no registry unless it is configured to."""
    assert composed()["services"]["postgres"]["image"].startswith("docker.io/library/postgres:")


def test_browsers_reach_the_servers_at_the_address_that_they_listen_on() -> None:
    ended = podman_compose(POSTGRES_PASSWORD="secret", DERAIN_LISTEN="192.0.2.7")
    services = yaml.safe_load(ended.stdout)["services"]
    assert services["prefect-server"]["environment"]["PREFECT_UI_API_URL"] == "http://192.0.2.7:4200/api"
    assert services["prefect-worker"]["environment"]["PREFECT_UI_URL"] == "http://192.0.2.7:4200"
    assert "192.0.2.7:5000" in services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_slots_of_deployments_outlive_a_restart_of_the_server() -> None:
    server = composed()["services"]["prefect-server"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["prefect"]["server"]
    kept = server["environment"]["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"]
    assert kept == settings["concurrency"]["lease_storage"]
    assert kept.endswith("filesystem")
    importlib.import_module(kept)
    assert server["environment"]["PREFECT_HOME"].startswith("/data/")
    assert any(volume.endswith(":/data") for volume in server["volumes"])


def test_runs_have_time_to_end_and_a_folder_for_checkpoints() -> None:
    found = composed()["services"]["prefect-worker"]
    assert found["stop_grace_period"] == "90s"
    assert [volume.rpartition(":")[2] for volume in found["volumes"]] == ["/data", "/app/var"]
    assert found["read_only"]


def test_a_cut_off_worker_is_started_again_whatever_its_exit_code() -> None:
    assert composed()["services"]["worker"]["restart"] == "always"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_pods_obey_the_restricted_standard(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        for pod in pods_of(manifest):
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert not pod["automountServiceAccountToken"]
            for container in pod["containers"] + pod.get("initContainers", []):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["resources"]["requests"]
                assert container["resources"]["limits"]["memory"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_build_what_kubernetes_takes(overlay: str) -> None:
    kinds = set()
    for manifest in built(overlay):
        validate(manifest, VERSION, strict=True)
        kinds.add(manifest["kind"])
        for pod in pods_of(manifest):
            assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]
    assert {"Deployment", "Service", "CronJob", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_network_policy_covers_every_pod() -> None:
    manifests = list(built("s3-example"))
    (policy,) = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    label = policy["spec"]["podSelector"]["matchLabels"].items()
    templates = [each["spec"]["template"] for each in manifests if each["kind"] == "Deployment"]
    templates += [
        each["spec"]["jobTemplate"]["spec"]["template"] for each in manifests if each["kind"] == "CronJob"
    ]
    assert len(templates) == 3
    assert all(label <= template["metadata"]["labels"].items() for template in templates)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_the_secret_has_the_name_that_jobs_of_prefect_ask_for() -> None:
    (secret,) = [each for each in built("s3-example") if each["kind"] == "Secret"]
    template = (KUBERNETES / "job-template.json").read_text()
    assert f'"secretRef": {{"name": "{secret["metadata"]["name"]}"' in template


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_a_prefect_worker_suspends_the_cron_job(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "s3-example"
    description = overlay / "kustomization.yaml"
    description.write_text(description.read_text() + "components: [../../prefect-worker]\n")
    (job,) = [each for each in built(overlay) if each["kind"] == "CronJob"]
    assert job["spec"]["suspend"] is True
    assert all("suspend" not in each["spec"] for each in built("s3-example") if each["kind"] == "CronJob")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_applying_again_keeps_the_number_of_autoscaled_workers() -> None:
    (workers,) = [
        each
        for each in built("cpu")
        if each["metadata"]["name"] == "derain-worker" and "spec" in each and each["kind"] == "Deployment"
    ]
    assert "replicas" not in workers["spec"]


def pods_of(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if manifest["kind"] == "Deployment":
        yield manifest["spec"]["template"]["spec"]
    if manifest["kind"] == "CronJob":
        yield manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def built(overlay: str | Path) -> Iterator[dict[str, Any]]:
    """Build an overlay, given by its name or folder."""
    ended = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    yield from yaml.safe_load_all(ended.stdout)


def composed() -> dict[str, Any]:
    """Return the compose file with its variables filled in."""
    found: dict[str, Any] = yaml.safe_load(interpolated())
    return found


@cache
def interpolated() -> str:
    ended = podman_compose(POSTGRES_PASSWORD="secret")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def podman_compose(**variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DERAIN_")}
    return subprocess.run(
        [BIN / "podman-compose", "--podman-path", podman(), "--env-file", os.devnull, "config"],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def podman() -> str:
    """Return the path of podman, or of a program that answers with a version: `config` asks for nothing else."""
    found = shutil.which("podman")
    if found is not None:
        return found
    stand_in = Path(tempfile.mkdtemp(), "podman")
    stand_in.write_text("#!/bin/sh\necho podman version 5.0.0\n")
    stand_in.chmod(0o755)
    return str(stand_in)
