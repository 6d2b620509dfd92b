from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from deploy.test.standins import ROOT, STANDINS
from kafka_saga.orchestrator.config import load_settings

FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "kafka-saga" in service["image"]}


def test_every_image_has_a_stand_in_but_grafana() -> None:
    named = {service["image"] for service in COMPOSE["services"].values()} - {"${SAGA_IMAGE:-kafka-saga}"}
    known = {tag for tags in STANDINS.values() for tag in tags}

    assert {image.partition(":")[0] for image in named - known} == {"grafana/grafana"}


def test_our_containers_write_nothing_and_have_no_right() -> None:
    assert len(OURS) == 8
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_what_is_set_is_a_setting_of_ours() -> None:
    for name, service in OURS.items():
        for variable, value in service["environment"].items():
            told = re.sub(r"\$\{[^}]*\}", "0123456789abcdef", str(value))
            assert load_settings(flags={}, environment={variable: told}).sources, (name, variable)


def test_every_process_has_a_role_of_its_own_in_postgres_and_nothing_logs_in_as_the_superuser() -> None:
    used: dict[str, set[str]] = {}
    for name, service in OURS.items():
        told = " ".join(map(str, service["environment"].values()))
        for role, password in re.findall(r"postgresql://(\w+):\$\{(\w+)[^}]*\}@", told):
            assert password == f"{role.upper()}_PASSWORD", name
            used.setdefault(role, set()).add(name)

    services = {"inventory", "payment", "orders"}
    assert used == {
        "saga": {"orchestrator-1", "orchestrator-2", "dashboard", "saga"},
        **{service: {service, "saga"} for service in services},
    }
    assert "POSTGRES_USER" not in COMPOSE["services"]["postgres"]["environment"], "its default, the superuser"
    assert {f"{role.upper()}_PASSWORD" for role in used} < COMPOSE["services"]["postgres"]["environment"].keys()


def test_each_secret_that_the_file_asks_for_is_made_and_no_server_keeps_its_default_password(tmp_path: Path) -> None:
    script = shutil.copy(FOLDER / "secrets.sh", tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text(encoding="utf-8").splitlines())
    secrets = {name: secret for name, secret in made.items() if name != "COMPOSE_PROJECT_NAME"}

    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+(?:PASSWORD|TOKEN))\b", text)) == secrets.keys()
    assert all(len(secret) == 48 for secret in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    grafana, postgres = (COMPOSE["services"][name]["environment"] for name in ("grafana", "postgres"))
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD}"
    assert postgres["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD}"


def test_nothing_is_open_to_other_machines() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]

    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_prometheus_asks_every_process_that_runs_all_the_time() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = config["scrape_configs"]
    [names] = [found["names"] for found in job["dns_sd_configs"]]

    assert set(names) == {name for name, service in OURS.items() if service["restart"] != "no"}


def test_every_file_that_is_mounted_is_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = Path(volume.partition(":")[0])
            assert not str(source).startswith(".") or (FOLDER / source).exists(), volume
