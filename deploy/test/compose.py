"""The compose project as it is shipped: up, healthy, an orchestrator killed while orders run, and down again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deploy.kafka.kafka import free_port
from deploy.test.engine import DeployError, Engine, run
from deploy.test.standins import ROOT

NOT_HERE = "Grafana"
"""Debian has no package of it, so the profile's Grafana is not run."""


_COMPOSE = ("docker-compose", "--file", "compose.yaml")


OURS = ("orchestrator-1", "orchestrator-2", "inventory", "payment", "orders", "dashboard")
_UNPROBED = ("saga_topics_", "saga_saga_", "saga_prometheus_")


class Project:
    """The project, in a copy of the folder: its secrets are the test's own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Nothing runs yet."""
        self._engine = engine
        self._folder = folder / "deploy" / "compose"
        for name in ("compose", "prometheus", "grafana"):
            shutil.copytree(ROOT / "deploy" / name, folder / "deploy" / name, ignore=shutil.ignore_patterns(".env"))
        self.ports = {name: free_port() for name in ("KAFKA_PORT", "SAGA_DASHBOARD_PORT", "PROMETHEUS_PORT")}
        run(["sh", str(self._folder / "secrets.sh")])

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run docker-compose on the project."""
        return run([*_COMPOSE, *arguments], environment=self._environment, folder=self._folder, check=check)

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The same, without waiting for its end; its output can be read."""
        everything = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([*_COMPOSE, *arguments], env=self._environment, cwd=self._folder, **everything)

    @property
    def _environment(self) -> dict[str, str]:
        return {**self._engine.environment, **{name: str(port) for name, port in self.ports.items()}}

    network = "saga_default"

    def database(self, role: str) -> str:
        """The URL of a role's own database, as the project's containers reach it."""
        lines = (self._folder / ".env").read_text(encoding="utf-8").splitlines()
        secrets = dict(line.split("=", 1) for line in lines)
        return f"postgresql://{role}:{secrets[f'{role.upper()}_PASSWORD']}@postgres/{role}"

    def up(self) -> str:
        """Start everything at once, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--no-build")
        took_s = self._engine.await_that("everything is healthy", self._all_healthy, timeout_s=300)
        return f"{len(self._states())} containers, healthy {took_s:.0f} s after the command ended"

    def monitor(self) -> str:
        """Start Prometheus, and wait until it has figures of every process and our rules."""
        processes = sum(name.startswith(tuple(f"saga_{service}_" for service in OURS)) for name in self._states())
        self.compose("--profile", "monitoring", "up", "--detach", "prometheus")
        self._engine.await_that(f"{processes} targets are up", lambda: self._targets_up() == processes)
        rules = [rule["name"] for group in self._ask_prometheus("rules")["groups"] for rule in group["rules"]]
        if "SagaParked" not in rules:
            raise DeployError(f"Prometheus has no rules of ours: {rules}")
        return f"{processes} processes are scraped, {len(rules)} rules are loaded; no {NOT_HERE} here"

    def play(self) -> str:
        """`saga demo --attach` against it, while an orchestrator is killed in mid-flight; it is started again."""
        words = ["run", "--rm", "-T", "saga", "demo", "--attach"]
        with self.started(*words) as demo:
            assert demo.stdout is not None, "it is read"
            said = []
            for line in demo.stdout:
                said.append(line.decode())
                if "a quarter of them is on its way" in said[-1]:
                    self.kill("orchestrator-1")
        if demo.returncode:
            raise DeployError("".join(said[-40:]) + self.last_words())
        self._engine.await_that("the killed orchestrator is healthy again", self._all_healthy)
        [counted] = [line.split(maxsplit=1)[1].strip() for line in said if line.startswith("  Sagas")]
        return f"sagas: {counted}; orchestrator-1 was killed in mid-flight, every figure is as it must be"

    def kill(self, service: str) -> None:
        """SIGKILL; the engine starts it again."""
        container = self.compose("ps", "--quiet", service).strip()
        pid = self._engine.docker("inspect", "--format", "{{.State.Pid}}", container).strip()
        run(
            ["kill", "-KILL", pid]
        )  # as the kernel would: `docker kill` counts as asked for, and nothing is started again

    def down(self) -> str:
        """Stop everything, with what it kept; every process of ours ends cleanly."""
        self.compose("stop", "--timeout", "30")
        codes = {name: state["ExitCode"] for name, state in self._states().items()}
        self.compose("--profile", "monitoring", "--profile", "commands", "down", "--volumes", "--remove-orphans")
        unclean = {name: code for name, code in codes.items() if code not in {0, 143}}
        if unclean:
            raise DeployError(f"ended otherwise than at SIGTERM's word: {unclean}")
        return f"{len(codes)} containers ended with 0, or 143 for Kafka"

    def last_words(self) -> str:
        """What the containers said last, for when something went wrong."""
        return self.compose("logs", "--tail", "6", check=False)

    def _states(self) -> dict[str, dict[str, Any]]:
        containers = self._engine.docker(
            "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=saga"
        ).split()
        found = json.loads(self._engine.docker("inspect", *containers)) if containers else []
        return {container["Name"].lstrip("/"): container["State"] for container in found}

    def _all_healthy(self) -> bool:
        return all(
            state.get("Health", {}).get("Status") == "healthy"
            for name, state in self._states().items()
            if not name.startswith(_UNPROBED)
        )

    def _targets_up(self) -> int:
        try:
            targets = self._ask_prometheus("targets")["activeTargets"]
        except (DeployError, ValueError, KeyError):
            return 0  # it has only just been started
        return sum(target["health"] == "up" for target in targets)

    def _ask_prometheus(self, what: str) -> dict[str, list[dict[str, Any]]]:
        answer = run(["curl", "--silent", f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1/{what}"])
        data: dict[str, list[dict[str, Any]]] = json.loads(answer)["data"]
        return data
