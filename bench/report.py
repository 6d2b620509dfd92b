"""What was measured, for people and, in the last line, for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench.figures import median

HEADLINE_RATE = "20/s"
"""The rate that p50 and p99 in the last line belong to."""

NOISE_SHARE_MAX = 0.05
"""Of the machine; beyond this share for other processes the report says so."""

Parts = Mapping[str, Mapping[str, Any]]
Sections = Mapping[str, Parts]


def headline(sections: Sections) -> dict[str, float | None]:
    """The figures of the last line; None for what was not measured."""
    sagas = _median_per_s(sections.get("throughput", {}), "20,000 succeed")
    limit = _median_per_s(sections.get("limit", {}), "8 messages a saga")
    same = _median_per_s(sections.get("limit", {}), "every message")
    latency = sections.get("latency", {}).get(HEADLINE_RATE, {}).get("latency_ms", {})
    used = _median_cpu_ms(sections.get("throughput", {}), "20,000 succeed")
    limit_used = _median_cpu_ms(sections.get("limit", {}), "8 messages a saga")
    return {
        "sagas_per_s": sagas,
        "limit_per_s": limit,
        "ratio": sagas / limit if sagas and limit else None,
        "ratio_every_message": sagas / same if sagas and same else None,
        "ratio_cpu": limit_used / used if used and limit_used else None,
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
    }


def last_line(sections: Sections) -> str:
    """`bench: sagas_per_s=… limit_per_s=… ratio=… p50_ms=… p99_ms=…`; `-` for what was not measured."""
    figures = headline(sections)
    digits = {"sagas_per_s": 0, "limit_per_s": 0, "ratio": 3, "p50_ms": 1, "p99_ms": 1}
    words = [f"{name}={_number(figures[name], count)}" for name, count in digits.items()]
    return "bench: " + " ".join(words)


def stores_line(sections: Sections) -> str | None:
    """`stores: sqlite=… postgres1=… … p50_sqlite_ms=…`; None where neither of its sections was measured."""
    one, many = sections.get("stores", {}), sections.get("replicas", {})
    if not one and not many:
        return None
    rates = {
        "sqlite": _median_per_s(one, "sqlite"),
        **{f"postgres{n}": _median_per_s(many, f"{n} orchestrators, 1 workers each, 4") for n in (1, 2, 3)},
        "all_postgres": _median_per_s(one, "all on postgres #"),
    }
    alone = {"p50_sqlite_ms": _median_alone(one, "sqlite"), "p50_postgres_ms": _median_alone(one, "store on postgres")}
    words = [f"{name}={_number(value, 0)}" for name, value in rates.items()]
    return "stores: " + " ".join(words + [f"{name}={_number(value, 1)}" for name, value in alone.items()])


def _median_alone(parts: Parts, name: str) -> float | None:
    values = [float(result["alone_ms"]["p50"]) for part, result in parts.items() if part.startswith(name)]
    return median(values) if values else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _median_per_s(parts: Parts, name: str) -> float | None:
    values = [float(result["per_s"]) for part, result in parts.items() if part.startswith(name)]
    return median(values) if values else None


def _median_cpu_ms(parts: Parts, name: str) -> float | None:
    """CPU of all processes together per saga; Kafka's is missing on both sides where it is another's."""
    values = [sum(result["cpu_ms_per_saga"].values()) for part, result in parts.items() if part.startswith(name)]
    return median(values) if values else None


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def report(sections: Sections, machine: Mapping[str, Any]) -> str:
    """Everything, as tables."""
    blocks = [", ".join(f"{name} {value}" for name, value in machine.items())]
    for name, rows in _tables(sections):
        blocks.append(f"{name}\n{table(rows)}")
    noise = max((one.get("others_share", 0.0) for parts in sections.values() for one in parts.values()), default=0.0)
    if noise > NOISE_SHARE_MAX:
        blocks.append(f"NOISY: other processes used up to {noise:.0%} of this machine meanwhile: trust CPU per saga")
    figures = headline(sections)
    if figures["ratio"] is not None:
        every, cpu = _number(figures["ratio_every_message"], 3), _number(figures["ratio_cpu"], 3)
        blocks.append(
            f"of the limit: {figures['ratio']:.3f}; with every message that the system publishes: {every}; "
            f"by CPU per saga, which other processes disturb least: {cpu}"
        )
    return "\n\n".join(blocks)


def _tables(sections: Sections) -> Iterator[tuple[str, list[list[str]]]]:
    for name in ("throughput", "limit", "partitions", "stores", "replicas", "timers", "finished", "watching"):
        if name in sections:
            yield name, [*_rates(sections[name])]
            yield f"{name}: CPU, ms per saga", [*_cpu(sections[name])]
    for name, (title, rows) in _OTHERS.items():
        if name in sections:
            yield title, [*rows(sections[name])]
    if "stores" in sections:
        alone = {
            part: {"others_share": 0.0, **result, "latency_ms": result["alone_ms"]}
            for part, result in sections["stores"].items()
        }
        yield "stores: one at a time, ms", [*_latencies(alone)]
        yield "stores: the server, per saga", [*_server(sections["stores"])]
    if "dashboard" in sections:
        yield "dashboard: pages, ms", [*_pages(sections["dashboard"])]
    if "throughput" in sections:
        yield "bytes on the disk per saga", [*_bytes(sections["throughput"])]


def _pages(parts: Parts) -> Iterator[list[str]]:
    yield ["", *parts]
    for page, value in next(iter(parts.values())).items():
        if not isinstance(value, int | float):
            continue
        yield [page, *(_number(result.get(page), 1) for result in parts.values())]


def _rates(parts: Parts) -> Iterator[list[str]]:
    yield ["", "sagas/s", "steady", "seconds", "used by others"]
    for part, result in parts.items():
        rates = [f"{result['per_s']:,.0f}", f"{result['steady_per_s']:,.0f}", f"{result['seconds']:.1f}"]
        yield [part, *rates, f"{result['others_share']:.0%}"]


def _cpu(parts: Parts) -> Iterator[list[str]]:
    names = list(dict.fromkeys(name for result in parts.values() for name in result["cpu_ms_per_saga"]))
    yield ["", *names, "all"]
    for part, result in parts.items():
        used = result["cpu_ms_per_saga"]
        yield [part, *(_number(used.get(name), 3) for name in names), f"{sum(used.values()):.3f}"]


def _server(parts: Parts) -> Iterator[list[str]]:
    names = list(dict.fromkeys(name for result in parts.values() for name in result["server_per_saga"]))
    yield ["", *(name.replace("_", " ") for name in names)]
    for part, result in parts.items():
        yield [part, *(f"{result['server_per_saga'][name]:,.3f}" for name in names)]


def _latencies(parts: Parts) -> Iterator[list[str]]:
    yield ["", "sagas", "p50", "p99", "p99.9", "max", "sent late p99", "used by others"]
    for part, result in parts.items():
        spread, late = result["latency_ms"], result.get("send_late_ms", {})
        values = [spread["p50"], spread["p99"], spread["p999"], spread["max"], late.get("p99")]
        yield [part, f"{result['count']:,}", *(_number(value, 1) for value in values), f"{result['others_share']:.0%}"]


def _starts(parts: Parts) -> Iterator[list[str]]:
    names = list(next(iter(parts.values()))["again_s"])
    yield ["", *names]
    for part, result in parts.items():
        for when, title in (("first_s", "first start"), ("again_s", "later start")):
            yield [f"{part} {title}", *(f"{result[when][name]:.2f}" for name in names)]


def _costs(parts: Parts) -> Iterator[list[str]]:
    names = list(dict.fromkeys(name for result in parts.values() for name in result.get("fsyncs_per_saga", {})))
    yield ["", "messages", *(f"fsyncs {name}" for name in names)]
    for part, result in parts.items():
        fsyncs = result.get("fsyncs_per_saga", {})
        yield [part, f"{result['messages_per_saga']:.2f}", *(_number(fsyncs.get(name), 4) for name in names)]


def _recoveries(parts: Parts) -> Iterator[list[str]]:
    yield ["", "s to ready", "unpublished messages", "s until all had ended"]
    for part, result in parts.items():
        yield [part, f"{result['ready_s']:.2f}", f"{result['unpublished_messages']:,}", f"{result['ended_s']:.1f}"]


def _growths(parts: Parts) -> Iterator[list[str]]:
    yield ["", "second tenth", "last tenth"]
    for part, result in parts.items():
        for name, growth in result["growth"].items():
            yield [f"{part}, {name}", f"{growth['early_mb']:.1f}", f"{growth['late_mb']:.1f}"]


_OTHERS: dict[str, tuple[str, Callable[[Parts], Iterator[list[str]]]]] = {
    "latency": ("latency, ms from the moment a request was due", _latencies),
    "start": ("seconds from the start of a process to its being ready", _starts),
    "costs": ("messages and fsyncs per saga", _costs),
    "recovery": ("after a kill -9 of the orchestrator", _recoveries),
    "memory": ("resident memory, MB", _growths),
}


def _bytes(parts: Parts) -> Iterator[list[str]]:
    names = ("orchestrator", "inventory", "payment", "orders")
    yield ["", *names, "kafka"]
    for part, result in parts.items():
        sizes = result["database_bytes_per_saga"]
        kafka = result.get("kafka_bytes_per_saga")
        yield [part, *(f"{sizes[name]:,}" for name in names), "-" if kafka is None else f"{kafka:,}"]
