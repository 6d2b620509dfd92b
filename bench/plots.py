"""Plots of a run, as SVG files beside its results. Needs matplotlib: `pip install '.[bench]'`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Parts = Mapping[str, Mapping[str, Any]]
_INCHES = (8.0, 4.5)


def draw(sections: Mapping[str, Parts], directory: Path) -> list[Path]:
    """Draw what there is to draw; the files that were written."""
    drawn = []
    for name, plot in _PLOTS.items():
        section, title, fill = plot
        if not sections.get(section):
            continue
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        fill(axes, sections[section])
        axes.grid(visible=True, alpha=0.3)
        path = directory / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})  # the same results give the same file
        drawn.append(path)
    return drawn


def _latency(axes: Axes, parts: Parts) -> None:
    parts = {part: result for part, result in parts.items() if part.endswith("/s")}
    rates = [float(part.removesuffix("/s").replace(",", "")) for part in parts]
    for name, label in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        axes.plot(rates, [result["latency_ms"][name] for result in parts.values()], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("sagas a second")
    axes.set_ylabel("ms from the moment a request was due to its outcome")
    axes.legend()


def _throughput(axes: Axes, parts: Parts) -> None:
    for part, result in parts.items():
        counts = result["per_second"][:-1] or result["per_second"]  # the last second is not a whole one
        axes.plot(range(1, len(counts) + 1), counts, label=part)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("sagas that ended in that second")
    axes.legend()


def _cpu(axes: Axes, parts: Parts) -> None:
    names = list(dict.fromkeys(name for result in parts.values() for name in result["cpu_ms_per_saga"]))
    left = [0.0] * len(parts)
    for name in names:
        values = [float(result["cpu_ms_per_saga"].get(name, 0)) for result in parts.values()]
        axes.barh(list(parts), values, left=left, label=name)
        left = [before + value for before, value in zip(left, values, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("ms of CPU per saga")
    axes.legend()


def _memory(axes: Axes, parts: Parts) -> None:
    for name, samples in _series(parts):
        axes.plot([at for at, _ in samples], [value for _, value in samples], label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("resident memory, MB")
    axes.legend()


def _series(parts: Parts) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    for result in parts.values():
        samples = result["samples"]
        for name in [key for key in samples[0] if key != "at_s"]:
            yield name, [(one["at_s"], one[name]) for one in samples if name in one]


_PLOTS: dict[str, tuple[str, str, Callable[[Axes, Parts], None]]] = {
    "latency": ("latency", "From the moment a request is due to its saga's outcome", _latency),
    "throughput": ("throughput", "Throughput, asked for all at once", _throughput),
    "cpu": ("throughput", "CPU per saga, by process", _cpu),
    "memory": ("memory", "Resident memory over a long run", _memory),
}
