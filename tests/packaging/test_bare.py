"""The bare installation: all that a participant needs, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kafka_saga
import kafka_saga.client
import kafka_saga.errors
import kafka_saga.testing
from tests.brokers import BrokerUnderTest
from tests.packaging.conftest import Built, collide
from tests.packaging.environments import PATIENCE_S, Environment

DOORS = Path(__file__).with_name("doors.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    collide(tmp_path)
    return tmp_path


def test_the_wheel_holds_one_package_of_real_files(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        tops = {name.split("/")[0] for name in names}
        assert tops == {"kafka_saga", next(top for top in tops if top.endswith(".dist-info"))}
        assert not [item.filename for item in wheel.infolist() if (item.external_attr >> 16) & 0o170000 == 0o120000]
    for name in ("py.typed", "schemas/ids.py", "runtime/errors.py", "orchestrator/cli/scaffold/saga.py.tmpl"):
        assert f"kafka_saga/{name}" in names
    for name in ("templates/base.html", "static/css/tokens.css", "static/vendor/htmx/LICENSE"):
        assert f"kafka_saga/orchestrator/dashboard/{name}" in names
    assert [name for name in names if name.startswith("kafka_saga/orchestrator/store/") and name.endswith(".sql")]


def test_the_sdist_has_each_file_once_and_no_links(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        members = sdist.getmembers()
    assert not [member.name for member in members if member.issym()]
    assert len([member.name for member in members if member.name.endswith("/definition.py")]) == 1


def test_the_doors_open_without_the_command_lines_libraries(bare: Environment, project: Path) -> None:
    code = """
import importlib.util, json, sys
import kafka_saga
from kafka_saga import Participant, run_participant
before = [name for name in sys.modules if name.startswith("kafka_saga.orchestrator.machine")]
import kafka_saga.testing
print(json.dumps({
    "dir": dir(kafka_saga),
    "all": [name for name in kafka_saga.__all__ if getattr(kafka_saga, name) is None],
    "version": kafka_saga.__version__,
    "extra": [name for name in ("cyclopts", "rich", "ormsgpack", "confluent_kafka") if importlib.util.find_spec(name)],
    "before": before,
    "mine": importlib.import_module("schemas.ids").MINE,
}))
"""
    done = bare.run(bare.python, "-c", code, cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(kafka_saga.__all__) <= set(found["dir"])
    assert not [name for name in found["dir"] if name.startswith("_") and not name.startswith("__")]
    assert (found["all"], found["extra"], found["before"]) == ([], [], [])
    assert (found["version"], found["mine"]) == (kafka_saga.__version__, "schemas.ids")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("list",)])
def test_the_command_says_in_one_line_what_to_install(
    bare: Environment, project: Path, arguments: tuple[str, ...]
) -> None:
    done = bare.run(bare.bin / "saga", *arguments, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"saga: .*pip install 'kafka-saga\[cli\]'\n", done.stderr)


def test_a_name_that_is_no_door_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Sagga'"):
        _ = kafka_saga.Sagga


@pytest.mark.kafka
@pytest.mark.processes
def test_a_participant_runs_by_itself(
    bare: Environment, project: Path, kafka: BrokerUnderTest, topic_prefix: str
) -> None:
    (project / "mail.py").write_text("""
import sys
from pydantic import BaseModel
from kafka_saga import Participant, SqlConnection, Transaction, run_participant
from schemas.ids import MINE

class SendTicket(BaseModel):
    ticket: str

mail = Participant("mail")

async def prepare(connection: SqlConnection) -> None:
    await connection.run_script("CREATE TABLE IF NOT EXISTS sent (ticket TEXT)")

@mail.action(SendTicket)
async def send(command: SendTicket, tx: Transaction) -> None:
    await tx.execute("INSERT INTO sent VALUES (?)", (command.ticket,))

sys.exit(run_participant(mail, prepare=prepare))
""")
    variables = {
        **bare.variables,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SAGA_TOPICS__PREFIX": topic_prefix,
        "SAGA_LOG_FORMAT": "json",
    }
    with subprocess.Popen(
        [bare.python, "mail.py"], cwd=project, env=variables, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if '"participant.ready"' in line:
                    break
            else:
                pytest.fail("".join(said))
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert (project / ".saga" / "mail.db").exists()


def test_every_door_is_typed(bare: Environment, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(DOORS.read_text())
    (tmp_path / "wrong.py").write_text("""
from kafka_saga import Participant, Retry, Saga, from_request, nonesuch
from kafka_saga.testing import check
Participant(1)
Retry(retries_max="3")
from_request(2)
check("no saga", [])
""")
    strict = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(bare.python)]
    done = bare.run(*strict, "program.py", "wrong.py", cwd=tmp_path)
    assert "program.py" not in done.stdout, done.stdout
    codes = re.findall(r"wrong\.py:(\d+): error: .*\[([a-z-]+)\]", done.stdout)
    wrong = [("2", "attr-defined"), *((str(line), "arg-type") for line in range(4, 8))]
    assert codes == wrong, done.stdout + done.stderr


@pytest.mark.parametrize(
    "door", [kafka_saga, kafka_saga.client, kafka_saga.testing, kafka_saga.errors], ids=lambda door: door.__name__
)
def test_the_typed_program_comes_in_by_every_door(door: object) -> None:
    used = {node.id for node in ast.walk(ast.parse(DOORS.read_text())) if isinstance(node, ast.Name)}
    assert set(door.__all__) - used == set()
