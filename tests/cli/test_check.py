"""`saga check`, and what `saga up` remembers: a project of one's own, as files in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.orchestrator.cli.scaffold import write_project
from kafka_saga.orchestrator.config import load_settings
from kafka_saga.orchestrator.remembered import remember
from kafka_saga.runtime.errors import ConfigError, StoreUnavailableError
from tests.cli.conftest import Run, Saga


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that fits, in the folder in which commands run."""
    write_project(tmp_path / "booking")
    for path in (tmp_path / "booking").iterdir():
        path.rename(tmp_path / "files" if path.name == "booking" else tmp_path / path.name)
    (tmp_path / "booking").rmdir()
    (tmp_path / "files").rename(tmp_path / "booking")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def verdicts(run: Run) -> list[tuple[str, str]]:
    return [(row["verdict"], row["command"] or row["service"]) for row in run.rows]


def test_what_fits_is_exit_code_0_and_one_sentence(saga: Saga, project: Path) -> None:
    assert (project / "saga.toml").exists()
    run = saga("check")
    assert (run.exit_code, run.out) == (0, "")
    assert run.err == "booking v1 with seats, wallet: everything fits\n"


def test_the_shipped_saga_is_checked_with_the_shipped_services(saga: Saga) -> None:
    run = saga("check", "-o", "json")
    assert (run.exit_code, run.json) == (0, [])
    assert run.err == "order v1 with inventory, payment, orders: everything fits\n"


def test_what_does_not_fit_is_exit_code_1_with_what_to_do(saga: Saga, project: Path) -> None:
    change(project / "booking" / "seats.py", "@seats.compensation(ReleaseSeat)", "@seats.action(ReleaseSeat)")
    change(project / "booking" / "saga.py", 'service="wallet"', 'service="walet"')
    run = saga("check")
    assert run.exit_code == 1
    assert "register it with @seats.compensation(ReleaseSeat)" in run.out
    assert "no participant is called 'walet', but one 'wallet'" in run.out
    assert run.err == "booking v1 with seats, wallet: 2 wrong\n"
    assert verdicts(saga("check", "-o", "jsonl")) == [("wrong", "releaseSeat"), ("wrong", "walet")]


def test_unused_handlers_are_exit_code_1_unless_they_are_allowed(saga: Saga, project: Path) -> None:
    change(project / "booking" / "saga.py", "compensation=ReturnPayment, ", "")
    run = saga("check", "-o", "jsonl")
    assert (run.exit_code, verdicts(run)) == (1, [("unused", "returnPayment")])
    assert saga("check", "--allow-unused").exit_code == 0


def test_flags_win_and_a_service_that_is_not_given_is_a_note(saga: Saga, project: Path) -> None:
    assert (project / "saga.toml").exists()
    run = saga("check", "--participant", "booking.seats:seats", "-o", "jsonl")
    assert (run.exit_code, verdicts(run)) == (0, [("note", "wallet")])


def test_participants_come_from_the_environment_too(saga: Saga, project: Path) -> None:
    (project / "saga.toml").unlink()
    run = saga("check", SAGA_APP="booking.saga", SAGA_PARTICIPANTS="booking.seats:seats, booking.wallet:wallet")
    assert (run.exit_code, run.err) == (0, "booking v1 with seats, wallet: everything fits\n")


def test_nothing_to_compare_with_is_said_and_not_taken_for_fine(saga: Saga, project: Path) -> None:
    (project / "saga.toml").write_text('app = "booking.saga"')
    run = saga("check")
    assert (run.exit_code, run.out) == (2, "")
    assert "name the participants of seats, wallet with --participant" in run.err


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("nobody", "there is no service 'nobody'"),
        ("booking.nobody:seats", "there is no module 'booking.nobody'"),
        ("booking.seats:SCHEMA", "booking.seats:SCHEMA is not a Participant"),
    ],
)
def test_a_participant_that_cannot_be_found_is_one_line_and_exit_code_2(
    saga: Saga, project: Path, told: str, said: str
) -> None:
    assert (project / "saga.toml").exists()
    run = saga("check", "--participant", told)
    assert (run.exit_code, run.out, len(run.err.splitlines())) == (2, "", 1)
    assert said in run.err


@pytest.mark.processes
def test_saga_up_refuses_what_can_only_fail_and_says_how_to_start_it_nevertheless(saga: Saga, project: Path) -> None:
    change(project / "booking" / "seats.py", "@seats.compensation(ReleaseSeat)", "@seats.action(ReleaseSeat)")
    run = saga("up")
    assert (run.exit_code, run.out) == (4, "")
    first, last = run.err.splitlines()
    assert first.startswith("wrong: seats.releaseSeat (sent by booking v1 reserve_seat): it is sent as a compensation")
    assert last.startswith("saga: sagas and participants do not fit")
    assert "`saga up --no-check`" in last


def remembering(folder: Path, **told: object) -> Path:
    data = folder / "data"
    remember(data, {name.replace("__", "."): value for name, value in told.items()})
    return data / "up.toml"


def test_what_was_remembered_counts_and_is_shown_with_its_file(saga: Saga, tmp_path: Path) -> None:
    path = remembering(tmp_path, app=("shop.saga",), participants=("shop.a:a", "shop.b:b"), store='a "b".db')
    run = saga("config", "show", "-o", "jsonl")
    shown = {row["setting"]: (row["value"], row["source"]) for row in run.rows}
    assert shown["app"] == (["shop.saga"], str(path))
    assert shown["participants"] == (["shop.a:a", "shop.b:b"], str(path))
    assert shown["store"] == ('a "b".db', str(path))


def test_it_counts_least_of_all(tmp_path: Path) -> None:
    remembering(tmp_path, app=("shop.saga",), participants=("shop.a:a",), topics__prefix="old.")
    environment = {"SAGA_DATA_DIR": str(tmp_path / "data"), "SAGA_PARTICIPANTS": "shop.c:c"}
    loaded = load_settings(flags={"topics.prefix": "new."}, environment=environment)
    assert loaded.settings.app == ("shop.saga",)
    assert loaded.settings.participants == ("shop.c:c",)
    assert loaded.settings.topics.prefix == "new."


def test_none_of_it_counts_where_it_was_about_other_sagas(tmp_path: Path) -> None:
    remembering(tmp_path, app=("shop.saga",), participants=("shop.a:a",), topics__prefix="old.")
    data = {"SAGA_DATA_DIR": str(tmp_path / "data")}
    other = load_settings(flags={"app": ("tour.saga",)}, environment=data).settings
    assert (other.participants, other.topics.prefix) == ((), "")
    same = load_settings(flags={}, environment={**data, "SAGA_APP": "shop.saga"}).settings
    assert (same.participants, same.topics.prefix) == (("shop.a:a",), "old.")


def test_a_kafka_is_never_remembered(tmp_path: Path) -> None:
    path = tmp_path / "up.toml"
    path.write_text('app = ["shop.saga"]\n[kafka]\nbootstrap_servers = "production:9092"\n')
    loaded = load_settings(flags={"data_dir": tmp_path}, environment={})
    assert not loaded.kafka_configured
    assert loaded.settings.app == ("shop.saga",)


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "up.toml").write_text("app = [")
    with pytest.raises(ConfigError, match=r"cannot read .*up\.toml: .*; remove it, `saga up` writes it anew"):
        load_settings(flags={"data_dir": tmp_path}, environment={})


@pytest.mark.parametrize("store", ['a "b".db', "c:\\d", "möwe 🐦.db", "tab\tdel\x7f"])
def test_any_text_is_recalled_as_it_was_told(tmp_path: Path, store: str) -> None:
    remember(tmp_path, {"app": ("shop.saga",), "store": Path(store)})
    assert load_settings(flags={"data_dir": tmp_path}, environment={}).settings.store == Path(store)


def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"cannot write .*up\.toml"):
        remember(tmp_path, {"app": ("shop.saga",), "store": Path("\udcff.db")})
    assert list(tmp_path.iterdir()) == []


def test_remembering_the_same_again_writes_nothing(tmp_path: Path) -> None:
    assert remember(tmp_path, {"app": ("shop.saga",)})
    assert not remember(tmp_path, {"app": ("shop.saga",)})
    assert remember(tmp_path, {"app": ("tour.saga",)})
    assert [path.name for path in tmp_path.iterdir()] == ["up.toml"]
