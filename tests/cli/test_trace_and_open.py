"""`saga trace` and `saga open`: a saga's time in the terminal, and its page on the dashboard that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from kafka_saga.orchestrator.cli import opening
from kafka_saga.orchestrator.dashboard_file import NAME, dashboard_of, noted
from kafka_saga.orchestrator.testing import Story
from kafka_saga.schemas.orders import ChargePayment, ReleaseItems
from tests.cli.conftest import FillStore, Saga, parked, running, waiting


def retried(order_id: str) -> Story:
    """Payment failed once, and was refused a second later; the reservation was released."""
    story = running(order_id)
    story.now += 20
    story.expect_command("payment", ChargePayment).retry("no connection")
    story.wait(1_000)
    story.now += 30
    story.expect_command("payment", ChargePayment).fail("card declined")
    story.now += 25
    story.expect_command("inventory", ReleaseItems).succeed()
    return story


@pytest.mark.parametrize("columns", [48, 80, 160])
def test_a_trace_is_as_wide_as_the_terminal_and_says_how_each_step_ended(
    saga: Saga, fill_store: FillStore, columns: int
) -> None:
    fill_store(parked("stuck-1"))
    run = saga("trace", "stuck-1", COLUMNS=str(columns))
    assert run.exit_code == 0, run.err
    assert max(map(len, run.out.splitlines())) <= columns
    assert "PARKED" in run.out
    assert "could not be undone (no such reservation)" in " ".join(run.out.split())
    lines = run.out.splitlines()
    step = next(place for place, line in enumerate(lines) if line.startswith("1 reserve_inv"))
    assert "█" in lines[step]
    assert "◀" in lines[step + 1], "its undoing points back, below it"


def test_a_trace_for_programs_has_every_attempt_and_wait(saga: Saga, fill_store: FillStore) -> None:
    fill_store(retried("order-1"))
    found = saga("trace", "order-1", "-o", "json").json
    assert [(bar["step"], bar["phase"], bar["attempt"], bar["ending"]) for bar in found["bars"]] == [
        ("reserve_inventory", "forward", 1, "done"),
        ("process_payment", "forward", 1, "again"),
        ("process_payment", "forward", 1, "backoff"),
        ("process_payment", "forward", 2, "failed"),
        ("reserve_inventory", "compensate", 1, "undone"),
    ]
    assert found["backoffMs"] == 1_000
    assert found["bars"][1]["text"] == "no connection"


def test_a_trace_of_what_has_not_begun_says_so_and_of_nobody_is_not_found(saga: Saga, fill_store: FillStore) -> None:
    fill_store(waiting("new-1"))
    assert "nothing has been sent" in saga("trace", "new-1").out
    assert saga("trace", "no-such").exit_code == 3


class Dashboard(BaseHTTPRequestHandler):
    """What a dashboard's first page begins like."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<title>Overview \xc2\xb7 saga</title>")

    def log_message(self, *_: object) -> None:
        """Tests have logs enough."""


@pytest.fixture
def served() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Dashboard) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_open_prints_the_page_on_the_dashboard_that_has_noted_itself(
    saga: Saga, fill_store: FillStore, served: str, tmp_path: Path
) -> None:
    fill_store(parked("stuck-1"))
    with noted(tmp_path / "data", served) as said:
        assert said
        with noted(tmp_path / "data", "http://127.0.0.1:1") as second:
            assert not second, "the first one that serves is named"
        run = saga("open", "stuck")
    assert (run.exit_code, run.out) == (0, f"{served}/sagas/order/stuck-1\n")
    assert not (tmp_path / "data" / NAME).exists()


class Login(Dashboard):
    """The same where it is asked who somebody is."""

    def do_GET(self) -> None:
        self.send_response(303)
        self.send_header("Location", "/login?next=/")
        self.end_headers()


def test_open_knows_a_dashboard_that_asks_who_you_are(saga: Saga, fill_store: FillStore, tmp_path: Path) -> None:
    fill_store(parked("stuck-1"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Login) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with noted(tmp_path / "data", url):
            run = saga("open", "stuck-1")
        server.shutdown()
    assert (run.exit_code, run.out) == (0, f"{url}/sagas/order/stuck-1\n"), run.err


def test_open_takes_no_other_stores_dashboard_for_one_that_does_not_answer(
    saga: Saga, fill_store: FillStore, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_store(parked("stuck-1"))
    monkeypatch.setattr(opening, "DEFAULT_PORT", urlsplit(served).port)
    with noted(tmp_path / "data", "http://127.0.0.1:9"):
        run = saga("open", "stuck-1")
    assert (run.exit_code, run.out) == (5, "")
    assert saga("open", "stuck-1").out == f"{served}/sagas/order/stuck-1\n", "where none is known, what is there"


def test_open_believes_no_file_that_a_killed_process_left_and_says_what_to_start(
    saga: Saga, fill_store: FillStore, tmp_path: Path
) -> None:
    fill_store(parked("stuck-1"))
    (tmp_path / "data" / NAME).write_text("http://127.0.0.1:9\n", encoding="utf-8")
    assert dashboard_of(tmp_path / "data") is None
    run = saga("open", "stuck-1", SAGA_HTTP__LISTEN="127.0.0.1:9")
    assert run.exit_code == 5
    assert re.search(r"no dashboard answers at http://127\.0\.0\.1:9: .*`saga dashboard`", run.err)
