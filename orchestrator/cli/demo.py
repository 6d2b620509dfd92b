"""`saga demo`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.config import load_settings
from kafka_saga.orchestrator.demo.attached import run_attached
from kafka_saga.orchestrator.demo.run import run_demo
from kafka_saga.runtime.extras import require
from kafka_saga.runtime.telemetry import configure_logging


def demo(
    *,
    config: Annotated[Path | None, Parameter(help="A TOML file with the settings of a Kafka")] = None,
    bootstrap_servers: Annotated[
        str | None, Parameter(name=["--bootstrap-servers", "-b"], help="Use this Kafka, not the embedded broker")
    ] = None,
    attach: Annotated[
        bool, Parameter(negative="", help="Play on the system that runs, as the settings name it")
    ] = False,
    keep: Annotated[bool, Parameter(negative="", help="Leave everything running at the end, until Ctrl-C")] = False,
) -> int:
    """Watch 20 real orders go through real processes, and what happens when things break.

    Orders that succeed, a declined payment, a failing step, a timeout, a poison message, and `kill -9` of the
    orchestrator. It takes half a minute, leaves nothing behind, and exits with 1 where a figure at the end is wrong.
    It uses the Kafka that is configured, with topics of its own there, and otherwise the embedded broker.
    With --attach nothing is started: its orders go to the shipped saga and services that run (`saga up`, a compose
    project), and their databases are counted. No fault is injected there, and it is you who kills.

    Examples:
        saga demo

        saga demo --keep

        saga demo --bootstrap-servers localhost:9092

        saga demo --attach

    """
    require("dashboard", "saga demo")
    loaded = load_settings(flags={"kafka.bootstrap_servers": bootstrap_servers}, environment=os.environ, file=config)
    configure_logging(process="demo", level="error")
    if attach:
        return asyncio.run(run_attached(loaded.settings))
    kafka = loaded.settings.kafka if loaded.kafka_configured else None
    return asyncio.run(run_demo(kafka, os.environ, keep=keep))
