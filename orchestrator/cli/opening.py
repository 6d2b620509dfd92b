"""`saga open`: the page of a saga on the dashboard that runs."""

from __future__ import annotations

import sys
import webbrowser
from http.client import HTTPConnection, HTTPException
from typing import Annotated
from urllib.parse import quote, urlsplit

from cyclopts import Parameter

from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, SagaId, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import say
from kafka_saga.orchestrator.cli.sagas import read
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.dashboard_file import dashboard_of
from kafka_saga.orchestrator.http.settings import DEFAULT_HOST, DEFAULT_PORT, Address, read_listen_address
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import UnavailableError
from kafka_saga.schemas.ids import SagaRef

ANSWER_TIMEOUT_S = 3
_LOOKED_AT_BYTES = 4_096


def open_saga(
    saga_id: SagaId,
    /,
    *,
    browser: Annotated[
        bool, Parameter(negative="--no-browser", show_default=False, help="Open a browser, too [default on a terminal]")
    ] = True,
    saga_type: SagaType = None,
    common: SettingFlags = DEFAULTS,
) -> None:
    """Print the address of a saga's page on the dashboard that runs, and open it where there is a browser.

    The dashboard is the one of the setting http.listen; else the one that has noted itself in the data directory (`saga
    up`, `saga orchestrator --http` and `saga dashboard` do); where neither is known, what answers on 127.0.0.1:7242.

    Examples:
        saga open order-123

        saga open order-123 --no-browser | xclip

    """
    settings = common.settings()

    async def question(reader: StoreReader) -> SagaRef:
        return await meant(reader, saga_id, saga_type)

    ref = read(settings, question)
    path = f"/sagas/{quote(ref.saga_type, safe='')}/{quote(ref.saga_id, safe='')}"
    url = f"{running_dashboard(settings)}{path}"
    print(url)  # noqa: T201 -- the answer
    if browser and sys.stdout.isatty() and not webbrowser.open(url):
        say("there is no browser here: open the address yourself")


def running_dashboard(settings: Settings) -> str:
    """The address of the dashboard that runs beside this store.

    Raises:
        UnavailableError: none answers; it says where it was looked for, and how to start one.

    """
    asked = []
    for url in _candidates(settings):
        asked.append(url)
        if _answers(url):
            return url
    raise UnavailableError(
        f"no dashboard answers at {' or '.join(asked)}: start one with `saga dashboard`, "
        "or say where it is with the setting http.listen"
    )


def _candidates(settings: Settings) -> list[str]:
    listens = settings.http.listen
    configured = None if listens is None else read_listen_address(listens)
    found = [
        None if configured is None or configured.port == 0 else f"http://{configured}",
        dashboard_of(settings.data_dir),
    ]
    known = list(dict.fromkeys(url for url in found if url is not None))
    return known or [f"http://{Address(DEFAULT_HOST, DEFAULT_PORT)}"]  # it may be another store's, where one is known


def _answers(url: str) -> bool:
    """Whether a dashboard is there: its first page calls itself saga, or sends who is not known to its login."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or DEFAULT_HOST, address.port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/", headers={"Accept": "text/html"})
        answer = connection.getresponse()
        return b"saga" in answer.read(_LOOKED_AT_BYTES) or (answer.getheader("Location") or "").startswith("/login?")
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
