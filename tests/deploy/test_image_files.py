from __future__ import annotations

import re

from deploy.test.standins import ROOT, STANDINS

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_runs_as_a_numbered_user_without_a_shell_in_front() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["saga"\]$', DOCKERFILE, re.MULTILINE)


def test_the_base_image_has_a_stand_in_for_where_no_registry_is_reached() -> None:
    [base] = re.findall(r"^ARG BASE=(.+)$", DOCKERFILE, re.MULTILINE)

    assert base in STANDINS["python"]


def test_what_the_package_consists_of_gets_into_the_build() -> None:
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))

    rooms = {path.name for path in (ROOT / "src" / "kafka_saga").iterdir() if path.is_symlink()}
    assert rooms | {"pyproject.toml", "README.md", "LICENSE", "src"} <= let_in
