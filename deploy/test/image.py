"""What is looked at in the image itself: who it runs as, what it says of itself, and how its processes end."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path

from deploy.test.engine import DeployError, Engine
from deploy.test.standins import ROOT

SECURE = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
"""As the manifests and the compose file run every container of ours."""

_SHOP = """
from pydantic import BaseModel
from kafka_saga import Participant, Transaction

class Wrap(BaseModel):
    order_id: str

wrapping = Participant("wrapping")

@wrapping.action(Wrap)
async def wrap(command: Wrap, tx: Transaction) -> None:
    await tx.execute("CREATE TABLE IF NOT EXISTS wrapped (order_id TEXT)")
"""


def expect(what: str, seen: object, wanted: object) -> None:
    """Compare.

    Raises:
        DeployError: it is otherwise.

    """
    if seen != wanted:
        raise DeployError(f"{what}: {seen!r}, not {wanted!r}")


def look_at_image(engine: Engine) -> str:
    """Its user, labels, health check and size; it writes nothing outside its folders."""
    [image] = json.loads(engine.docker("image", "inspect", "kafka-saga"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    expect("user", image["Config"]["User"], "10001:10001")
    expect("entrypoint", image["Config"]["Entrypoint"], ["saga"])
    expect("label of the version", image["Config"]["Labels"]["org.opencontainers.image.version"], version)
    expect("saga --version", engine.docker("run", "--rm", *SECURE, "kafka-saga", "--version").strip(), version)
    base = int(engine.docker("image", "inspect", "--format", "{{.Size}}", "python:3.13-slim"))
    return f"{(image['Size'] - base) / 1e6:.0f} MB on a base of {base / 1e6:.0f} MB"


def build_on_it(engine: Engine) -> str:
    """An image of a user's participant, in the two lines that the documentation gives."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "shop.py").write_text(_SHOP, encoding="utf-8")
        (folder / "Dockerfile").write_text("FROM kafka-saga\nCOPY shop.py /app/\n", encoding="utf-8")
        engine.build("shop", folder / "Dockerfile", folder)
    code = "import shop; print(shop.wrapping.name)"
    said = engine.docker("run", "--rm", *SECURE, "--entrypoint", "python", "shop", "-c", code)
    expect("the participant's name", said.strip(), "wrapping")
    return "FROM kafka-saga, COPY shop.py /app/: it is found"


def stop_one(engine: Engine) -> str:
    """SIGTERM ends a process of it cleanly, even while it waits for a Kafka that is away."""
    name = engine.docker("run", "--detach", *SECURE, "--network=none", "kafka-saga", "participant", "payment").strip()
    probe = ("exec", name, "python", "-m", "kafka_saga.runtime.probe", "--live", "/var/lib/saga")
    engine.await_that("it is alive", lambda: "payment: " in engine.docker(*probe, check=False))
    engine.docker("stop", "--time", "20", name)
    code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip()
    engine.docker("rm", "--volumes", name)
    expect("exit code after SIGTERM", code, "0")
    return "exit code 0"
