"""The Kubernetes manifests as kustomize makes them."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.test.engine import DeployError, run

KUBERNETES = Path(__file__).resolve().parents[1] / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (KUBERNETES / "overlays").iterdir()))
MODULE = "sigs.k8s.io/kustomize/kustomize/v5@v5.5.0"


def _program() -> list[str]:
    """Something that is kustomize, fetched with Go where neither it nor kubectl is installed.

    Raises:
        DeployError: it cannot be had.

    """
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("go"):
        folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kafka-saga"
        if not (folder / "kustomize").exists():
            run(["go", "install", MODULE], environment={**os.environ, "GOBIN": str(folder)})
        return [str(folder / "kustomize"), "build"]
    raise DeployError("neither kustomize, kubectl nor Go is installed")


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """All objects of an overlay.

    Raises:
        DeployError: it does not resolve; the message is kustomize's.

    """
    return tuple(yaml.safe_load_all(run([*_program(), str(KUBERNETES / "overlays" / overlay)])))


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """The pods' specs by the names of who makes them."""
    made = (found for found in rendered(overlay) if "template" in found.get("spec", {}))
    return {found["metadata"]["name"]: found["spec"]["template"]["spec"] for found in made}
