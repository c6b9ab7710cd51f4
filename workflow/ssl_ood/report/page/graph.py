"""The graph of the jobs as an SVG inside the page: a box for each rule, with how many jobs it has.

Boxes stand in levels, what is made first above. An edge over several levels goes through a narrow
slot in each level between, so that it crosses no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

WIDTH, HEIGHT, SLOT, GAP_X, GAP_Y, MARGIN = 150, 40, 12, 24, 44, 8
Edge = tuple[str, str]


def drawn(rules: Mapping[str, int], edges: Sequence[Edge]) -> str:
    """The SVG. rules: jobs by rule; edges: (rule, rule that needs it), without cycles.

    An edge is left out where other edges lead there as well, and that of a rule with itself, as of
    a training that starts from another. Raises ValueError for a cycle.
    """
    every = {(a, b) for a, b in edges if a != b and a in rules and b in rules}
    kept = sorted(_without_detours(every))
    level = _levels(list(rules), kept)
    parts = {edge: _parts(edge, level) for edge in kept}
    nodes = dict(level) | {n: y for way in parts.values() for y, n in way}
    links = [pair for edge in kept for pair in _links(edge, parts[edge])]
    rows = _ordered(nodes, links)
    sizes = [sum(_width(n, rules) for n in row) + GAP_X * (len(row) - 1) for row in rows]
    width = 2 * MARGIN + max(sizes, default=0)
    height = 2 * MARGIN + len(rows) * (HEIGHT + GAP_Y) - GAP_Y
    place: dict[str, tuple[float, float]] = {}  # middle and top of every box and slot
    for y, row in enumerate(rows):
        x = (width - sizes[y]) / 2
        for node in row:
            own = _width(node, rules)
            place[node] = (x + own / 2, MARGIN + y * (HEIGHT + GAP_Y))
            x += own + GAP_X
    lines = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        'aria-label="The rules of the workflow and how many jobs each has" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1a1a1a">'
    ]
    lines += [_curve(place[a], place[b], a not in rules) for a, b in links]
    lines += [_box(rule, rules[rule], *place[rule]) for rule in rules]
    return "\n".join([*lines, "</svg>"])


def _without_detours(edges: set[Edge]) -> set[Edge]:
    """The edges that no longer way leads along."""
    after: dict[str, set[str]] = {}

    def reached(rule: str) -> set[str]:
        if rule not in after:
            after[rule] = set()  # a cycle is found later
            own = {b for a, b in edges if a == rule}
            after[rule] = own.union(*(reached(b) for b in own))
        return after[rule]

    return {
        (a, b) for a, b in edges if not any(b in reached(c) for d, c in edges if d == a and c != b)
    }


def _levels(rules: list[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The length of the longest way to each rule. Raises ValueError for a cycle."""
    level = dict.fromkeys(rules, 0)
    for _ in range(len(rules) + 1):
        needed = {r: max((level[a] + 1 for a, b in edges if b == r), default=0) for r in rules}
        if needed == level:
            return level
        level = needed
    raise ValueError("the graph of the rules has a cycle")


def _parts(edge: Edge, level: Mapping[str, int]) -> list[tuple[int, str]]:
    """The slots of an edge, each with its level."""
    a, b = edge
    return [(y, f"{a} {b} {y}") for y in range(level[a] + 1, level[b])]


def _links(edge: Edge, parts: Sequence[tuple[int, str]]) -> list[Edge]:
    way = [edge[0], *(node for _, node in parts), edge[1]]
    return list(pairwise(way))


def _ordered(nodes: Mapping[str, int], links: Sequence[Edge]) -> list[list[str]]:
    """The nodes of each level, in the order of the mean place of what they are joined to above."""
    place: dict[str, float] = {}
    rows = []
    for y in range(max(nodes.values(), default=-1) + 1):
        row = [node for node, level in nodes.items() if level == y]
        above = {node: [place[a] for a, b in links if b == node] for node in row}
        row.sort(key=lambda node, of=above: sum(of[node]) / len(of[node]) if of[node] else 0.5)
        place |= {node: (i + 0.5) / len(row) for i, node in enumerate(row)}
        rows.append(row)
    return rows


def _width(node: str, rules: Mapping[str, int]) -> int:
    return WIDTH if node in rules else SLOT


def _curve(a: tuple[float, float], b: tuple[float, float], from_slot: bool) -> str:
    """From below a box, or from the top of a slot, which it crosses, to the top of the next."""
    (x, top), (u, v) = a, b
    y = top + HEIGHT
    start = f"M{x:.0f} {top:.0f}L{x:.0f} {y:.0f}" if from_slot else f"M{x:.0f} {y:.0f}"
    middle = (y + v) / 2
    return (
        f'<path d="{start}C{x:.0f} {middle:.0f} {u:.0f} {middle:.0f} {u:.0f} {v:.0f}" '
        'fill="none" stroke="#737373"/>'
    )


def _box(rule: str, count: int, x: float, y: float) -> str:
    jobs = f"{count:,} job" + ("" if count == 1 else "s")
    return (
        f'<rect x="{x - WIDTH / 2:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="4" '
        f'fill="#fff" stroke="#1a1a1a"/><text x="{x:.0f}" y="{y + 17:.0f}" text-anchor="middle">'
        f'{escape(rule)}</text><text x="{x:.0f}" y="{y + 33:.0f}" text-anchor="middle" '
        f'font-size="11" fill="#525252">{jobs}</text>'
    )
