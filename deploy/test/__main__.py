"""`make deploy-test`."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.test import image
from deploy.test.engine import DeployError, Engine, install_tools, running_engine
from deploy.test.parts import Parts
from deploy.test.standins import build_image, fetch_wheels, make_standins

FOLDER = Path(os.environ.get("SAGA_DEPLOY_FOLDER", "/var/tmp/saga-deploy-test"))  # noqa: S108 -- root's, made by us
"""The engine's images stay there between runs."""


def _bases(engine: Engine) -> str:
    with ThreadPoolExecutor() as pool:  # packages come from elsewhere than Debian's: both at once
        wheels = pool.submit(fetch_wheels)
        made = make_standins(engine)
        return f"{wheels.result()} wheels; stand-ins: {', '.join(made)}"


def main() -> int:
    """All parts, or those that `--only` names."""
    parser = argparse.ArgumentParser(description="Build and run what deploy/ ships, without a registry.")
    parser.add_argument("--only", choices=("image",), help="only this much of it")
    parser.parse_args()
    parts = Parts()
    try:
        parts.play("tools", install_tools)
        with running_engine(FOLDER) as engine:
            parts.play("stand-ins and wheels", lambda: _bases(engine))
            parts.play("image", lambda: build_image(engine))
            parts.play("image: what it is", lambda: image.look_at_image(engine))
            parts.play("image: a participant on it", lambda: image.build_on_it(engine))
            parts.play("image: SIGTERM", lambda: image.stop_one(engine))
    except DeployError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    finally:
        parts.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
