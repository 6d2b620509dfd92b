"""Tests of the project where there is Docker: Kafka and PostgreSQL in containers that testcontainers starts."""

from __future__ import annotations

import re
import sys

from deploy.test.engine import Engine, run
from deploy.test.standins import ROOT

TESTS = (
    "tests/messaging/test_topics.py",
    "tests/store/test_postgres_bell.py",
    "tests/participants/test_on_postgres.py",
)


def run_tests(engine: Engine) -> str:
    """Run a few of them; neither an installed server nor Maven's Kafka is taken."""
    wanted = {
        "SAGA_TEST_BROKER": "docker",
        "SAGA_TEST_POSTGRES": "docker",
        "TESTCONTAINERS_RYUK_DISABLED": "true",  # its cleaner is one more image; the engine ends with its containers
    }
    said = run(
        [sys.executable, "-m", "pytest", "-q", *TESTS], environment={**engine.environment, **wanted}, folder=ROOT
    )
    return re.findall(r"^.*\d+ passed.*$", said, re.MULTILINE)[-1]
