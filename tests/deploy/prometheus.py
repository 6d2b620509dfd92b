"""A Prometheus of a test's own: Debian's program, its data in a folder that goes, on a free port of the loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from deploy.kafka.kafka import free_port

INSTALL = "Debian: apt-get install prometheus"


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is; skips the test where it is not, or fails it where it is required."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("SAGA_TEST_PROMTOOL") == "required":
            pytest.fail(f"{name} is required, and not installed ({INSTALL})")
        pytest.skip(f"{name} is not installed ({INSTALL})")
    return found


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30)

    def ask(self, path: str, **parameters: str) -> Any:
        """What its HTTP API answers, under `data`."""
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        told = answer.json()
        assert told["status"] == "success", (path, parameters, told)
        return told["data"]

    def values(self, expression: str) -> list[float]:
        """The values of an instant query, now."""
        return [float(one["value"][1]) for one in self.ask("query", query=expression)["result"]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()


@contextmanager
def running_prometheus(
    folder: Path, *, targets: Mapping[str, Sequence[str]], rules: str, interval_s: int = 1
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets`, by job, and evaluates `rules`, the text of a rules file.

    It is stopped at the end, and says why where it does not start.
    """
    (folder / "rules.yml").write_text(rules)
    pace = {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"}
    jobs = [{"job_name": job, "static_configs": [{"targets": list(at)}]} for job, at in targets.items()]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": pace, "rule_files": ["rules.yml"], "scrape_configs": jobs}))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            _await_ready(process)
            with Prometheus(f"http://{address}") as prometheus:
                yield prometheus
        finally:
            process.terminate()
            assert process.stderr is not None
            process.stderr.read()  # a full pipe would keep it from ending


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if re.search("Server is ready to receive web requests", line):
            return
    pytest.fail("Prometheus did not start:\n" + "".join(said))
