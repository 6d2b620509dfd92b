"""The pods of the Kubernetes manifests as containers: the same arguments, variables, secrets and security settings.

Docker is no cluster: what is shown is that the image works under what the manifests take from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.test.compose import OURS, Project
from deploy.test.engine import DeployError, Engine
from deploy.test.image import expect
from deploy.test.kustomize import pods, rendered

OVERLAY = "development"
SERVICES = ("inventory", "payment", "orders")
READY = ("python", "-m", "kafka_saga.runtime.probe", "http://127.0.0.1:9464")
"""What the kubelet asks from outside."""


class Cluster:
    """What stands around the pods: the compose project's Kafka and PostgreSQL, and secrets."""

    def __init__(self, engine: Engine, project: Project, folder: Path) -> None:
        """`folder` is for secrets that are mounted."""
        self._engine = engine
        self._project = project
        self._folder = folder
        [config] = [found["data"] for found in rendered(OVERLAY) if found["kind"] == "ConfigMap"]
        self._config = {**config, "SAGA_KAFKA__BOOTSTRAP_SERVERS": "kafka:19092"}  # an overlay says where Kafka is
        owner = {"url": project.database("saga")}
        self._secrets: dict[str, Mapping[str, str]] = {
            "saga-store": owner,
            "saga-store-owner": owner,
            "saga-tokens": {role: f"the-token-of-the-{role}" for role in ("operator", "reader")},
            **{f"{service}-database": {"url": project.database(service)} for service in SERVICES},
        }

    def play(self) -> str:
        """In place of the project's own processes: the Jobs, then all else until it is ready, an order, and SIGTERM."""
        self._project.compose("stop", "--timeout", "30", *OURS)
        made = pods(OVERLAY)
        jobs = {name: pod for name, pod in made.items() if "restartPolicy" in pod}
        for name, pod in jobs.items():
            self._engine.docker("run", "--rm", *self._options(name, pod), *self._told(pod))
        with self._running({name: pod for name, pod in made.items() if name not in jobs}):
            self._project.compose("run", "--rm", "-T", "saga", "submit", "order", "--order-id", "of-pods", "--wait")
        return f"{' and '.join(jobs)} ran; {len(made) - len(jobs)} kinds of pods served an order, and ended with 0"

    @contextmanager
    def _running(self, made: Mapping[str, dict[str, Any]]) -> Iterator[None]:
        for name, pod in made.items():
            self._engine.docker("run", "--detach", *self._options(name, pod), *self._told(pod))
        for name in made:
            try:
                self._engine.await_that(f"{name} is ready", lambda name=name: self._is_ready(name))
            except DeployError as error:
                raise DeployError(f"{error}:\n{self._engine.logs(name)}") from error
        yield
        for name, pod in made.items():
            self._engine.docker("stop", "--time", str(pod["terminationGracePeriodSeconds"]), name)
            code = self._engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip()
            expect(f"exit code of {name}", code, "0")
            self._engine.docker("rm", "--volumes", name)

    def _is_ready(self, name: str) -> bool:
        return self._engine.succeeds("exec", name, *READY)

    def _options(self, name: str, pod: dict[str, Any]) -> list[str]:
        [container] = pod["containers"]
        whole, own = pod["securityContext"], container["securityContext"]
        options = [f"--name={name}", f"--hostname={name}-0", f"--network={self._project.network}"]
        options += [f"--user={whole['runAsUser']}:{whole['runAsGroup']}"]
        options += [f"--cap-drop={capability}" for capability in own["capabilities"]["drop"]]
        options += ["--read-only"] if own["readOnlyRootFilesystem"] else []
        options += [] if own["allowPrivilegeEscalation"] else ["--security-opt=no-new-privileges"]
        options += [f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}"]
        options += [f"--env={key}={value}" for key, value in self._variables(name, container).items()]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            options.append(self._mounted(volumes[mount["name"]], mount["mountPath"], whole["fsGroup"]))
        return options

    def _variables(self, name: str, container: dict[str, Any]) -> dict[str, str]:
        found = dict(self._config)
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                found[variable["name"]] = f"{name}-0"
            else:
                found[variable["name"]] = variable["value"]
        return found

    def _mounted(self, volume: dict[str, Any], path: str, group: int) -> str:
        if "emptyDir" in volume:
            return f"--tmpfs={path}:uid={group},gid={group}"  # its mode stays the image's: the kubelet's is 2777
        secret = volume["secret"]["secretName"]
        folder = self._folder / secret
        folder.mkdir(exist_ok=True)
        for key, value in self._secrets[secret].items():
            (folder / key).write_text(value, encoding="utf-8")
        return f"--volume={folder}:{path}:ro"

    @staticmethod
    def _told(pod: dict[str, Any]) -> list[str]:
        [container] = pod["containers"]
        return [container["image"], *container["args"]]
