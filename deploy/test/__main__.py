"""`make deploy-test`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.test import image
from deploy.test.compose import Project
from deploy.test.engine import DeployError, Engine, install_tools, running_engine
from deploy.test.in_docker import run_tests
from deploy.test.manifests import Cluster
from deploy.test.parts import Parts
from deploy.test.standins import build_image, fetch_wheels, make_standins

FOLDER = Path(os.environ.get("SAGA_DEPLOY_FOLDER", "/var/tmp/saga-deploy-test"))  # noqa: S108 -- root's, made by us
"""The engine's images stay there between runs."""


def _bases(engine: Engine) -> str:
    with ThreadPoolExecutor() as pool:  # packages come from elsewhere than Debian's: both at once
        wheels = pool.submit(fetch_wheels)
        made = make_standins(engine)
        return f"{wheels.result()} wheels; stand-ins: {', '.join(made)}"


def _play_compose(engine: Engine, parts: Parts) -> None:
    with tempfile.TemporaryDirectory(prefix="saga-compose-") as folder:
        project = Project(engine, Path(folder))
        try:
            parts.play("compose: up", project.up)
            parts.play("compose: Prometheus", project.monitor)
            parts.play("compose: demo, and a kill", project.play)
            cluster = Cluster(engine, project, Path(folder))
            parts.play("manifests: pods as containers", cluster.play)
        except DeployError:
            print(project.last_words(), file=sys.stderr)
            raise
        parts.play("compose: down", project.down)


def main() -> int:
    """All parts, or those that `--only` names."""
    parser = argparse.ArgumentParser(description="Build and run what deploy/ ships, without a registry.")
    parser.add_argument("--only", choices=("image",), help="only this much of it")
    only = parser.parse_args().only
    parts = Parts()
    try:
        parts.play("tools", install_tools)
        with running_engine(FOLDER) as engine:
            parts.play("stand-ins and wheels", lambda: _bases(engine))
            parts.play("image", lambda: build_image(engine))
            parts.play("image: what it is", lambda: image.look_at_image(engine))
            parts.play("image: a participant on it", lambda: image.build_on_it(engine))
            parts.play("image: SIGTERM", lambda: image.stop_one(engine))
            if only != "image":
                _play_compose(engine, parts)
                parts.play("testcontainers", lambda: run_tests(engine))
    except DeployError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        parts.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
