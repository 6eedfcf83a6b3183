"""The manifests under deploy/kubernetes: valid, and their numbers fit together and with the app's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from quart_app.http.health import blueprint as health
from quart_app.settings import Settings, env_name

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
# The oldest Kubernetes that has everything used: preStop's sleep.
VERSION = "1.30"
DEFAULT_MAX_CONNECTIONS = 151


def _documents() -> Iterator[dict[str, Any]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def _one(kind: str) -> dict[str, Any]:
    (found,) = [document for document in _documents() if document["kind"] == kind]
    return found


@pytest.fixture(name="settings")
def _settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The app's settings as the pods get them."""
    for name, value in _one("ConfigMap")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", "mysql://me@127.0.0.1/mine")
    return Settings.from_env()


def _pods() -> list[dict[str, Any]]:
    return [_one(kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]


def _containers() -> list[dict[str, Any]]:
    return [one for pod in _pods() for one in pod["containers"] + pod.get("initContainers", [])]


def _api() -> dict[str, Any]:
    api: dict[str, Any] = _pods()[0]["containers"][0]
    return api


@pytest.mark.parametrize("document", list(_documents()), ids=lambda document: document["kind"])
def test_manifest_is_what_kubernetes_takes(document: dict[str, Any]) -> None:
    if document["kind"] != "Kustomization":  # kubectl's own
        kubernetes_validate.validate(document, VERSION, strict=True)
        assert document["metadata"].get("namespace", document["metadata"]["name"]) == "quart-app"


def test_every_manifest_is_applied() -> None:
    files = {file.name for file in FOLDER.glob("*.yaml")}
    applied = set(_one("Kustomization")["resources"])
    assert files - applied == {"kustomization.yaml", "secret.example.yaml"}
    assert applied <= files


def test_pod_is_given_the_time_it_needs_to_stop(settings: Settings) -> None:
    waits = _api()["lifecycle"]["preStop"]["sleep"]["seconds"] + settings.drain_delay
    needed = waits + settings.graceful_timeout + settings.shutdown_timeout
    assert _pods()[0]["terminationGracePeriodSeconds"] > needed
    assert settings.request_timeout < settings.graceful_timeout < settings.shutdown_timeout


def test_pods_at_their_most_fit_into_the_servers_connections(settings: Settings) -> None:
    surge = _one("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    pods = _one("HorizontalPodAutoscaler")["spec"]["maxReplicas"] + surge
    assert settings.instances == pods  # what the app itself compares at its start
    assert pods * settings.workers * (settings.maxsize + 1) < DEFAULT_MAX_CONNECTIONS


def test_probes_ask_what_they_are_for() -> None:
    paths = {
        name: _api()[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": f"{health.url_prefix}/live",
        "liveness": f"{health.url_prefix}/live",
        "readiness": f"{health.url_prefix}/ready",
    }


def test_unready_pod_is_noticed_before_it_stops() -> None:
    probe = _api()["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    assert noticed < _api()["lifecycle"]["preStop"]["sleep"]["seconds"]


def test_rolling_update_takes_no_pod_before_another_is_ready() -> None:
    rolling = _one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0
    assert rolling["maxSurge"] >= 1
    assert _one("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
    assert _one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_containers_are_locked_down() -> None:
    for pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # QUART_APP_SERVICE_HOST is no setting
    for container in _containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert "sh" not in container["command"]


def test_secrets_come_as_files_only() -> None:
    names = {item["name"] for container in _containers() for item in container.get("env", [])}
    assert {"DATABASE_URL_FILE", "QUART_APP_TOKENS_FILE"} <= names
    assert names <= {f"{env_name(field)}_FILE" for field in Settings.secrets}
    assert not set(_one("ConfigMap")["data"]) & {env_name(field) for field in Settings.secrets}


def test_selectors_find_the_pods() -> None:
    labels = _one("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        _one("Service")["spec"]["selector"],
        _one("Deployment")["spec"]["selector"]["matchLabels"],
        _one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        _one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
