"""Workers of one service on ten hot rows of PostgreSQL: `python -m bench.hot_rows [WORKERS …]` (R78).

Each worker is a process of its own, without Kafka: batches of 60 commands, each of which changes two of the rows.
Prints commands a second for one worker, then for each number of workers that was asked for, and their share of one's.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
from typing import Any

from pydantic import BaseModel

from deploy.postgres.postgres import running_server
from kafka_saga import Participant, PostgresUrl, Transaction
from kafka_saga.testing import Harness

ROWS = 10
BATCH = 60
SECONDS = 6.0

stock = Participant("stock")


class Take(BaseModel):
    first: int
    second: int


@stock.action(Take)
async def take(command: Take, tx: Transaction) -> None:
    for sku in (command.first, command.second):
        await tx.execute("UPDATE hot SET left_over = left_over - 1 WHERE sku = ?", (sku,))


async def prepare(connection: Any) -> None:
    await connection.run_script("CREATE TABLE IF NOT EXISTS hot (sku bigint PRIMARY KEY, left_over bigint NOT NULL)")
    await connection.execute(
        f"INSERT INTO hot SELECT n, 1000000 FROM generate_series(0, {ROWS - 1}) n ON CONFLICT DO NOTHING"
    )


async def work(url: str, worker: int, begin: float) -> tuple[int, int]:
    """Commands done within SECONDS from `begin`, and how many of them were answered `retry`."""
    done = again = 0
    async with await Harness.open(stock, prepare=prepare, database=PostgresUrl(url), worker=f"w{worker}") as harness:
        await asyncio.sleep(begin - time.time())
        while time.time() < begin + SECONDS:
            commands = [
                harness.command(
                    Take(first=(done + n * 7 + worker * 3) % ROWS, second=(done + n * 3 + worker * 5) % ROWS),
                    saga_id=f"{worker}-{done + n}-{begin}",
                    step="take",
                )
                for n in range(BATCH)
            ]
            handled = await harness.handle(commands)
            done += BATCH
            again += sum(one.reply is not None and one.reply.outcome == "retry" for one in handled)
    return done, again


def process(url: str, worker: int, begin: float, results: Any) -> None:
    results.put(asyncio.run(work(url, worker, begin)))


def measure(url: str, workers: int) -> tuple[float, int]:
    """Commands a second of `workers` at once, and how many were answered `retry`."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    begin = time.time() + 5.0  # to start
    processes = [context.Process(target=process, args=(url, worker, begin, results)) for worker in range(workers)]
    for one in processes:
        one.start()
    found = [results.get(timeout=SECONDS + 60) for _ in processes]
    for one in processes:
        one.join()
    return sum(done - again for done, again in found) / SECONDS, sum(again for _, again in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workers", nargs="*", type=int, default=[2, 3])
    asked = parser.parse_args().workers
    with running_server() as server:
        one, _ = measure(server.url, 1)
        print(f"1 worker: {one:,.0f} commands/s")
        for workers in asked:
            rate, again = measure(server.url, workers)
            print(f"{workers} workers: {rate:,.0f} commands/s, {rate / one:.2f} of one; {again} answered retry")
    return 0


if __name__ == "__main__":
    sys.exit(main())
