"""`saga.toml` as editors and people write it, and `saga config get`."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from tests.cli.conftest import Saga


def test_a_byte_order_mark_is_no_setting(saga: Saga, tmp_path: Path) -> None:
    (tmp_path / "saga.toml").write_bytes(codecs.BOM_UTF8 + 'group = "büro"\n'.encode())
    assert saga("config", "get", "group").out == "büro\n"


def test_one_module_may_be_written_without_brackets(saga: Saga, tmp_path: Path) -> None:
    (tmp_path / "saga.toml").write_text('app = "shop.sagas"\n')
    assert saga("config", "get", "app", "-o", "json").json == ["shop.sagas"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("partitions = 12\n".encode("utf-16"), "saga.toml is written in UTF-16: save it as UTF-8"),
        ('\ngroup = "büro"\n'.encode("latin-1"), "saga.toml is not written in UTF-8 (line 2): save it as UTF-8"),
        (b"kafka = [", "saga.toml is not TOML: "),
        (b"app = " + b"[" * 20_000, "saga.toml is not TOML: "),
        (b"#" * 300_000, "saga.toml is longer than 256 KiB"),
        (b"partition = 12", "saga.toml: there is no setting 'partition': did you mean 'partitions'?"),
        (b'[kafka]\nbootstrap_server = "k:1"', "'kafka.bootstrap_server': did you mean 'kafka.bootstrap_servers'?"),
        (b'bootstrap_servers = "k:1"', "'bootstrap_servers': did you mean 'kafka.bootstrap_servers'?"),
        (b"flavour = 1", "there is no setting 'flavour': `saga config show` lists all"),
        (b'kafka = "k:1"', "saga.toml: 'kafka' is a table of settings: write [kafka]"),
        (b'partitions = "many"', "saga.toml: partitions: Input should be a valid integer"),
        (b"store = [5]", "saga.toml: store: "),
        (b"[data_dir]\nx = 1", "there is no setting 'data_dir.x'"),
        (b"partitions = 0", "saga.toml: partitions: Input should be greater than or equal to 1"),
        (b'[kafka]\nsecurity_protocol = "SASL_SSL"', "saga.toml: kafka: SASL_SSL needs sasl_username"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_is_one_line_and_exit_code_2(saga: Saga, tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "saga.toml").write_bytes(content)
    run = saga("list")
    assert (run.exit_code, run.out, len(run.err.splitlines())) == (2, "", 1)
    assert said in run.err


def test_a_file_that_cannot_be_read_is_one_line(saga: Saga, tmp_path: Path) -> None:
    (tmp_path / "saga.toml").mkdir()
    assert saga("list").err == "saga: cannot read saga.toml: Is a directory\n"
    assert saga("list", SAGA_CONFIG="none.toml").err == "saga: cannot read none.toml: there is no such file\n"
    assert saga("list", "--config", "/dev/zero").exit_code == 2


@pytest.mark.parametrize(
    ("variable", "value"), [("SAGA_PARTITIONS", "many"), ("SAGA_CREATE_TOPICS", "perhaps"), ("SAGA_LOG_LEVEL", "loud")]
)
def test_a_wrong_value_names_its_variable(saga: Saga, variable: str, value: str) -> None:
    run = saga("list", **{variable: value})
    assert (run.exit_code, len(run.err.splitlines())) == (2, 1)
    assert run.err.startswith(f"saga: {variable}: ")


@pytest.mark.parametrize(
    ("name", "plain", "typed"),
    [
        ("kafka.bootstrap_servers", "kafka:9092\n", "kafka:9092"),
        ("partitions", "4\n", 4),
        ("create_topics", "true\n", True),
        ("app", "shop.sagas\nshop.more\n", ["shop.sagas", "shop.more"]),
        ("active", "order=1\n", {"order": 1}),
        ("kafka.sasl_username", "\n", None),
        ("kafka.ssl_key_password", "********\n", "********"),
        ("group", "shop.orchestrator\n", "shop.orchestrator"),
    ],
)
def test_config_get_prints_one_value(saga: Saga, name: str, plain: str, typed: object) -> None:
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "SAGA_APP": "shop.sagas,shop.more", "SAGA_ACTIVE": "order=1",
        "SAGA_TOPICS__PREFIX": "shop.", "SAGA_KAFKA__SSL_KEY_PASSWORD": "hunter2",
    }  # fmt: skip
    run = saga("config", "get", name, **variables)
    assert (run.exit_code, run.out, run.err) == (0, plain, "")
    assert saga("config", "get", name, "-o", "json", **variables).json == typed


def test_config_get_knows_where_the_store_is(saga: Saga) -> None:
    assert saga("config", "get", "store", "--data-dir", "here").out == "here/orchestrator.db\n"


def test_config_get_of_an_unknown_name_is_exit_code_3(saga: Saga) -> None:
    run = saga("config", "get", "partition")
    assert (run.exit_code, run.out) == (3, "")
    assert run.err == "saga: there is no setting 'partition': did you mean 'partitions'?\n"


URL = "postgresql://saga:secret@db.example:5432/sagas"


def test_a_stores_url_is_shown_without_its_password(saga: Saga) -> None:
    shown = saga("config", "show", SAGA_STORE=URL)
    assert "db.example:5432/sagas" in shown.out
    assert "secret" not in shown.out + shown.err
    assert saga("config", "get", "store", "--store", URL).out == "postgresql://saga:***@db.example:5432/sagas\n"


def test_a_stores_schema_is_part_of_its_name(saga: Saga) -> None:
    got = saga("config", "get", "store", SAGA_STORE=URL, SAGA_STORE_SCHEMA="shop")
    assert got.out.endswith("/sagas (schema shop)\n")


TWO_HOSTS = "postgresql://saga:secret@db-1,db-2/shop?target_session_attrs=read-write"


@pytest.mark.parametrize(
    "variables",
    [
        {"SAGA_SERVICE_DATABASES": f"payment={TWO_HOSTS},orders=here/orders.db"},
        {"SAGA_SERVICE_DATABASES__PAYMENT": TWO_HOSTS, "SAGA_SERVICE_DATABASES__ORDERS": "here/orders.db"},
        {},
    ],
    ids=["one", "each", "file"],
)
def test_the_databases_of_services_are_named_by_service(saga: Saga, tmp_path: Path, variables: dict[str, str]) -> None:
    if not variables:
        tables = f'[service_databases]\npayment = "{TWO_HOSTS}"\norders = "sqlite:here/orders.db"\n'
        (tmp_path / "saga.toml").write_text(tables)
    shown = TWO_HOSTS.replace("secret", "***")
    got = saga("config", "get", "service_databases", **variables)
    assert (got.out, got.err) == (f"payment={shown}\norders=here/orders.db\n", "")
    typed = saga("config", "get", "service_databases", "-o", "json", **variables).json
    assert typed == {"payment": shown, "orders": "here/orders.db"}
    assert "secret" not in saga("config", "show", **variables).out


def test_a_services_database_that_is_none_names_its_source(saga: Saga) -> None:
    for source, run in {
        "SAGA_SERVICE_DATABASES__PAYMENT": saga("list", SAGA_SERVICE_DATABASES__PAYMENT="mysql://me:secret@db/x"),
        "SAGA_SERVICE_DATABASES": saga("list", SAGA_SERVICE_DATABASES="payment=mysql://me:secret@db/x"),
    }.items():
        assert (run.exit_code, len(run.err.splitlines())) == (2, 1)
        assert run.err.startswith(f"saga: {source}: service_databases.payment: 'mysql://' is no store")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SAGA_STORE": "mysql://saga:secret@db/sagas"}, "SAGA_STORE: store: 'mysql://' is no store: name a file"),
        ({"SAGA_STORE": "postgresql://saga:secret@db:none/x"}, "SAGA_STORE: store: the database's URL: "),
        ({"SAGA_STORE_SCHEMA": "My Schema"}, "SAGA_STORE_SCHEMA: store_schema: 'My Schema' is no schema name of ours"),
    ],
)
def test_a_wrong_store_is_one_line_with_its_source_and_no_secret(
    saga: Saga, variables: dict[str, str], said: str
) -> None:
    run = saga("list", **variables)
    assert (run.exit_code, len(run.err.splitlines())) == (2, 1)
    assert said in run.err
    assert "secret" not in run.err


def test_a_platforms_database_url_is_the_store_where_nobody_names_another(saga: Saga) -> None:
    assert saga("config", "get", "store", DATABASE_URL=URL).out == "postgresql://saga:***@db.example:5432/sagas\n"
    sqlalchemys = URL.replace("postgresql://", "postgresql+asyncpg://")
    assert saga("config", "get", "store", DATABASE_URL=sqlalchemys).out.startswith("postgresql://saga:***@")
    assert saga("config", "get", "store", DATABASE_URL=URL, SAGA_STORE="here.db").out == "here.db\n"
    assert saga("config", "get", "store", DATABASE_URL="mysql://me:secret@db/shop").out.endswith("orchestrator.db\n")


def test_a_store_in_the_file_counts_more_than_a_platforms_database_url(
    saga: Saga, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saga.toml").write_text('store = "mine.db"\n', encoding="utf-8")
    assert saga("config", "get", "store", DATABASE_URL=URL).out == "mine.db\n"


def test_a_replica_is_called_as_its_host_or_as_it_is_told(saga: Saga) -> None:
    assert saga("config", "get", "replica", SAGA_REPLICA="saga-0").out == "saga-0\n"
    run = saga("config", "show", SAGA_REPLICA="two words")
    assert run.exit_code == 2
    assert "SAGA_REPLICA: replica:" in run.err
