"""Drawings of every saga there can be, and of graphs that no saga is yet: well-formed, unstyled, nothing lost."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_saga.orchestrator.dashboard.drawing.gantt import TALL, WIDE, Row, gantt
from kafka_saga.orchestrator.dashboard.drawing.graph import Graph, Node, Terminus, Undo, arrange
from kafka_saga.orchestrator.dashboard.drawing.tall_graph import tall_graph
from kafka_saga.orchestrator.dashboard.drawing.wide_graph import wide_graph
from kafka_saga.orchestrator.dashboard.saga.picture import graph_of
from kafka_saga.orchestrator.operations.sagas.timeline import timeline
from tests.machine.histories import History, histories

TRIP = Graph(
    (
        Node("quote", "1 quote", "SUCCESS"),
        Node("flight", "2 flight", "SUCCESS", undo=Undo("cancelFlight", "WAITS")),
        Node("hotel", "3 hotel", "IN_DOUBT", undo=Undo("cancelHotel", "COMPENSATING")),
        Node("car", "4 car", "SKIPPED"),
        Node("seat", "5 seat", "FAILED", items=("SUCCESS", "FAILED"), undo=Undo("releaseSeat", "COMPENSATING")),
        Node("card", "6 card", "PENDING", pivot=True),
    ),
    (
        ("quote", "flight"),
        ("quote", "hotel"),
        ("quote", "car"),
        ("flight", "seat"),
        ("seat", "card"),
        ("hotel", "card"),
        ("car", "card"),
    ),
    turned_at="seat",
)


def read(svg: str) -> ET.Element:
    """The drawing, parsed: what is not well-formed does not come back."""
    root = ET.fromstring(svg)
    for one in root.iter():
        assert "style" not in one.attrib, "a strict policy would drop it"
        assert not any(name.startswith("on") for name in one.attrib)
        assert one.tag != "script"
    return root


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    found = [one for one in read(svg).iter("rect") if one.get("class") == "box-f"]
    return [tuple(float(one.get(name, "0")) for name in ("x", "y", "width", "height")) for one in found]  # type: ignore[misc]


def said(svg: str) -> list[str]:
    return [one.get("aria-label", "") for one in read(svg).iter() if "node" in one.get("class", "").split()]


@settings(max_examples=8, deadline=None)
@given(histories(), st.booleans(), st.booleans())
def test_every_life_of_a_saga_can_be_drawn_with_and_without_its_code(life: History, known: bool, scale: bool) -> None:
    definition = life.definition if known else None
    line = timeline(life.saga, life.log, life.now)
    graph = graph_of(definition, life.saga, line)
    rows = [Row(step, step) for step in line.steps]
    for drawn in (
        wide_graph(graph),
        tall_graph(graph),
        gantt(line, rows, WIDE, true_scale=scale),
        gantt(line, rows, TALL),
    ):
        assert "nan" not in drawn
        read(drawn)
    for node in graph.nodes:
        assert any(f"{node.label}: {node.status}" in label for label in said(wide_graph(graph)))
        assert any(f"{node.label}: {node.status}" in label for label in said(tall_graph(graph)))


@pytest.mark.parametrize("draw", [wide_graph, tall_graph])
def test_no_two_steps_lie_upon_each_other(draw: object) -> None:
    assert callable(draw)
    found = boxes(draw(TRIP))
    assert len(found) == len(TRIP.nodes)
    for place, (x, y, width, height) in enumerate(found):
        for x2, y2, width2, height2 in found[place + 1 :]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y
            assert apart


def test_a_column_is_the_longest_way_from_the_start_and_long_edges_keep_their_row_free() -> None:
    arranged = arrange(TRIP)
    assert arranged.column == (0, 1, 1, 1, 2, 3)
    assert len({*zip(arranged.column, arranged.row, strict=True)}) == len(TRIP.nodes)
    hotel, seat = 2, 4
    assert arranged.row[seat] != arranged.row[hotel], "the hotel's edge passes through that column"


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any graph without a circle, of hostile words."""
    number = draw(st.integers(1, 12))
    words = st.sampled_from(
        ["", "a", "<b>&amp;\"'", "x" * 300, "lang und breit " * 9, "\u202e\u0645", "]]>", "\x1b[2J\0"]
    )
    counted = st.tuples(st.sampled_from(["IN_PROGRESS", "PARKED", "<b>"]), st.integers(0, 10**9))
    counts = st.none() | st.lists(counted, max_size=4).map(tuple)
    nodes = tuple(
        Node(
            f"n{place}",
            draw(words),
            draw(st.sampled_from(["SUCCESS", "FAILED", "PENDING", "<b>NEW</b>", "\"'&", "IN_DOUBT"])),
            draw(words),
            draw(words),
            items=tuple(draw(st.lists(st.sampled_from(["SUCCESS", "ODD"]), max_size=12))),
            undo=Undo(draw(words), draw(st.sampled_from(["WAITS", "COMPENSATED", "?"])), counts=draw(counts))
            if draw(st.booleans())
            else None,
            pivot=draw(st.booleans()),
            counts=draw(counts),
            drawn_as=draw(st.sampled_from(["", "FORTH", "?"])),
        )
        for place in range(number)
    )
    pairs = [(f"n{one}", f"n{two}") for two in range(number) for one in range(two)]
    edges = tuple(draw(st.lists(st.sampled_from(pairs), max_size=20))) if pairs else ()
    turned = draw(st.sampled_from([None, *(node.name for node in nodes)]))
    done = draw(st.none() | words.map(Terminus))
    return Graph(nodes, edges, Terminus("Request", draw(words)), Terminus(draw(words)), turned, done)


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_any_graph_can_be_drawn_whatever_its_words_are(graph: Graph) -> None:
    for drawn in (wide_graph(graph), tall_graph(graph)):
        root = read(drawn)
        assert len(boxes(drawn)) == len(graph.nodes)
        assert sum(one.get("class") == "tag-f" for one in root.iter("path")) == sum(
            node.undo is not None for node in graph.nodes
        )
    arranged = arrange(graph)
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    for first, then in graph.edges:
        assert arranged.column[place[first]] < arranged.column[place[then]]


def test_counts_are_drawn_short_and_said_whole() -> None:
    counts = (("IN_PROGRESS", 41_250), ("PARKED", 3), ("RETRY", 0))
    undo = Undo("undoOne", "bank", counts=(("COMPENSATING", 0),))
    for draw in (wide_graph, tall_graph):
        drawn = draw(Graph((Node("one", "1 one", "bank", counts=counts, undo=undo),), ()))
        there, back = said(drawn)
        assert there.endswith("; 41250 under way, 3 in need of a person")
        assert back.endswith("; no saga is here")
        texts = {"".join(one.itertext()) for one in read(drawn).iter("text")}
        assert {"41k", "3", "–"} <= texts


def test_where_both_ways_are_drawn_both_have_an_end() -> None:
    nodes = (Node("one", "1 one", "bank", undo=Undo("undoOne", "bank")),)
    ends = {"end": Terminus("All undone"), "done": Terminus("Done")}
    for draw in (wide_graph, tall_graph):
        texts = ["".join(one.itertext()) for one in read(draw(Graph(nodes, (), **ends))).iter("text")]
        assert {"All undone", "Done"} <= set(texts)
        left = ["".join(one.itertext()) for one in read(draw(Graph(nodes, (), end=ends["end"]))).iter("text")]
        assert "Done" not in left


def test_a_status_of_tomorrow_is_a_square_with_its_own_word() -> None:
    drawn = wide_graph(Graph((Node("one", "1 one", "LEVITATING"),), ()))
    assert "#i-unknown" in drawn
    assert "LEVITATING" in drawn


def test_a_name_is_cut_in_the_picture_and_whole_in_what_it_says() -> None:
    name = "reserve_everything_in_all_warehouses_of_the_world_at_once_please"
    drawn = wide_graph(Graph((Node(name, f"1 {name}", "SUCCESS"), Node("b", "2 b", "PENDING")), ((name, "b"),)))
    texts = ["".join(one.itertext()) for one in read(drawn).iter("text")]
    assert any(text.endswith("…") for text in texts)
    assert any(name in label for label in said(drawn))
