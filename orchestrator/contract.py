"""The generated side of the contract: JSON Schemas, the AsyncAPI document, and the drawing of the state machine.

python -m kafka_saga.orchestrator.contract                      write schemas/generated/ and docs/state-machine.md
python -m kafka_saga.orchestrator.contract --check              exit 1 where a committed file is out of date
python -m kafka_saga.orchestrator.contract --app shop.sagas DIR the contract of your own sagas, into DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from kafka_saga.orchestrator.asyncapi import Document, document, models_of
from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.diagram import with_drawing
from kafka_saga.orchestrator.registry import load_definitions
from kafka_saga.runtime.errors import SagaError
from kafka_saga.schemas.topics import TopicNames

COMMAND: Final = "python -m kafka_saga.orchestrator.contract"
SHIPPED: Final = "kafka_saga.orchestrator.sagas.order"
ROOT: Final = Path(__file__).resolve().parent.parent
GENERATED: Final = ROOT / "schemas" / "generated"
STATE_MACHINE_PAGE: Final = ROOT / "docs" / "state-machine.md"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Files = Mapping[str, bytes]


def contract_files(definitions: Sequence[Saga], topics: TopicNames) -> Files:
    """Every generated file by its name: one JSON Schema for each message model, and `asyncapi.json`."""
    files = {
        f"{name}.schema.json": _json({"$schema": DIALECT, **model.model_json_schema()})
        for name, model in models_of(definitions).items()
    }
    return {**files, "asyncapi.json": _json(document(definitions, topics))}


def newest(definitions: Iterable[Saga]) -> list[Saga]:
    """The newest version of every saga type: what new sagas speak (R30)."""
    found: dict[str, Saga] = {}
    for definition in sorted(definitions, key=lambda definition: definition.key):
        found[definition.saga_type] = definition
    return list(found.values())


def stale(folder: Path, files: Files) -> list[Path]:
    """The files in `folder` that are missing, other than generated, or left over from a message that is gone."""
    wrong = [folder / name for name, content in files.items() if _read(folder / name) != content]
    left_over = [path for path in sorted(folder.glob("*.schema.json")) if path.name not in files]
    return wrong + left_over


def write(folder: Path, files: Files) -> None:
    """Write what is generated; nothing is deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        definitions = newest(load_definitions(options.app or [SHIPPED]))
        files = contract_files(definitions, TopicNames(prefix=options.prefix))
    except SagaError as error:
        sys.stderr.write(f"contract: {error}\n")
        return error.exit_code
    folder = Path(options.folder)
    page = STATE_MACHINE_PAGE if not options.app and STATE_MACHINE_PAGE.is_file() else None
    if not options.check:
        write(folder, files)
        if page is not None:
            page.write_text(with_drawing(page.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    old = stale(folder, files)
    if page is not None and page.read_text(encoding="utf-8") != with_drawing(page.read_text(encoding="utf-8")):
        old.append(page)
    for path in old:
        sys.stderr.write(
            f"{_shown(path)} is {'left over: delete it' if _is_left_over(path, files) else 'out of date'}\n"
        )
    if old:
        sys.stderr.write(f"run `{COMMAND}` and commit what it writes\n")
    return 1 if old else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the generated files of the wire contract.")
    parser.add_argument("folder", nargs="?", metavar="DIR", default=str(GENERATED), help="where they are")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")
    parser.add_argument("--app", action="append", metavar="MODULE", help="a module with sagas of your own")
    parser.add_argument("--prefix", default="", help="put before every topic's name")
    return parser


def _is_left_over(path: Path, files: Files) -> bool:
    return path.name.endswith(".schema.json") and path.name not in files


def _shown(path: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else str(path)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _json(content: Document) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    sys.exit(main())
