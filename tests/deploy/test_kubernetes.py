from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest

from deploy.test.engine import DeployError
from deploy.test.kustomize import OVERLAYS, pods, rendered
from deploy.test.standins import ROOT
from kafka_saga.orchestrator.config import Settings, load_settings

API = ("1.30", "1.37")
"""The oldest and the newest that are tried."""

OPERATORS = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
"""Kinds of operators, which the API's own schemas do not have."""

SERVICES = ("inventory", "payment", "orders")


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    try:
        rendered(request.param)
    except DeployError as error:
        if "is installed" in str(error):
            pytest.skip(str(error))
        raise
    return str(request.param)


def of_kind(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in rendered(overlay) if found["kind"] == kind}


@pytest.mark.parametrize("version", API)
def test_every_object_is_what_the_api_knows(overlay: str, version: str) -> None:
    for found in rendered(overlay):
        if found["apiVersion"] not in OPERATORS:
            kubernetes_validate.validate(found, version, strict=True)


def test_every_pod_fulfils_the_restricted_pod_security_standard(overlay: str) -> None:
    found = pods(overlay)

    assert len(found) == 7
    for name, pod in found.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_has_its_measure_and_none_is_throttled(overlay: str) -> None:
    for pod in pods(overlay).values():
        [container] = pod["containers"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}


def test_what_runs_all_the_time_is_probed(overlay: str) -> None:
    running = {name: pod for name, pod in pods(overlay).items() if "restartPolicy" not in pod}

    assert running.keys() == {"orchestrator", "dashboard", *(f"{service}-participant" for service in SERVICES)}
    for pod in running.values():
        [container] = pod["containers"]
        paths = {
            probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_what_is_set_is_a_setting_of_ours(overlay: str) -> None:
    for pod in pods(overlay).values():
        [container] = pod["containers"]
        for variable in container.get("env", []):
            assert is_setting(variable["name"].removesuffix("_FILE")), variable
    [settings] = of_kind(overlay, "ConfigMap").values()
    for name, value in settings["data"].items():
        assert load_settings(flags={}, environment={name: value}).sources, name


def is_setting(variable: str) -> bool:
    place: Any = Settings
    for part in variable.removeprefix("SAGA_").lower().split("__"):
        if part not in place.model_fields:
            return False
        place = place.model_fields[part].annotation
    return True


def test_no_secret_is_in_the_manifests(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")


def test_secrets_are_files_and_each_that_is_named_is_mounted(overlay: str) -> None:
    mounted: dict[str, set[str]] = {}
    for name, pod in pods(overlay).items():
        [container] = pod["containers"]
        assert "secretKeyRef" not in str(container), name
        secrets = {found["name"]: found["secret"] for found in pod["volumes"] if "secret" in found}
        folders = {found["mountPath"]: found for found in container["volumeMounts"] if found["name"] in secrets}
        assert all(found["readOnly"] for found in folders.values()), name
        files = {found["value"] for found in container.get("env", []) if found["name"].endswith("_FILE")}
        assert {file.rpartition("/")[0] for file in files} == folders.keys(), name
        mounted[name] = {found["secretName"] for found in secrets.values()}

    assert mounted == {
        "topics": set(),
        "migrate": {"saga-store-owner"},
        "orchestrator": {"saga-store"},
        "dashboard": {"saga-store", "saga-tokens"},
        **{f"{service}-participant": {f"{service}-database"} for service in SERVICES},
    }


def test_the_page_s_secrets_are_those_that_are_mounted_and_its_paths_lead_into_them(overlay: str) -> None:
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    made = set(re.findall(r"create secret generic (\S+)", page)) - {"$service-database"}
    found = pods(overlay).values()
    mounted = {volume["secret"]["secretName"] for pod in found for volume in pod["volumes"] if "secret" in volume}
    folders = {mount["mountPath"] for pod in found for mount in pod["containers"][0]["volumeMounts"]}

    assert made | {f"{service}-database" for service in SERVICES} == mounted
    authorities = re.findall(r"sslrootcert=(\S+)/ca\.pem", page)
    assert set(authorities) == {"/run/secrets/store", "/run/secrets/database"} <= folders


def test_orchestrators_keep_their_names(overlay: str) -> None:
    [container] = of_kind(overlay, "StatefulSet")["orchestrator"]["spec"]["template"]["spec"]["containers"]

    [replica] = [variable for variable in container["env"] if variable["name"] == "SAGA_REPLICA"]
    assert replica["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_services_scale_by_what_they_have_not_read(overlay: str) -> None:
    scaled = of_kind(overlay, "ScaledObject")
    if overlay == "development":
        assert not scaled
        return
    assert scaled.keys() == set(SERVICES)
    deployments = of_kind(overlay, "Deployment")
    for service, found in scaled.items():
        [trigger] = found["spec"]["triggers"]
        target = deployments[found["spec"]["scaleTargetRef"]["name"]]
        assert target["spec"]["template"]["spec"]["containers"][0]["args"] == ["participant", service]
        assert "replicas" not in target["spec"]
        assert trigger["metadata"]["topic"] == f"{service}.commands"
        assert trigger["metadata"]["consumerGroup"] == service
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_each_disruption_budget_and_service_finds_pods(overlay: str) -> None:
    templates = [
        found["spec"]["template"]["metadata"]["labels"]
        for found in rendered(overlay)
        if "template" in found.get("spec", {})
    ]
    selectors = [found["spec"]["selector"]["matchLabels"] for found in of_kind(overlay, "PodDisruptionBudget").values()]
    selectors += [found["spec"]["selector"] for found in of_kind(overlay, "Service").values()]

    assert len(selectors) == 7
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in templates), selector
