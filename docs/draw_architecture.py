"""Draw docs/architecture.svg: the packages, their rooms, and the imports between them.

    python docs/draw_architecture.py

Everything in the picture is read from the project: the rows from the layer contracts in
pyproject.toml, the rooms and their imports from the source files. An arrow that follows from others
(a imports b, b imports c, and a imports c too) is left out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"

WIDTH, MARGIN, GAP = 960, 24, 34
ROW, BOX, TITLE = 50, 26, 34  # heights of a row of rooms, of a room, and of a package's heading
LETTER, PADDING, BETWEEN, INDENT = 7.3, 22, 32, 72
# Relative widths of packages that share a row.
SHARES = {"storyboard": 3, "miniature": 2}
APPLICATION, ENGINE = "storyboard", "pipelines"
HEADINGS = {
    "benchmarks": "time and memory",
    "evaluation": "quality, and fidelity to the papers",
    "storyboard": "the application",
    "miniature": "the embedded model",
    "training": "what trainings share",
    "pipelines": "the imaging engine",
}
STYLE = """
  svg { --ground: #fbfaf8; --panel: #ffffff; --line: #d6d3cd; --ink: #23211e; --soft: #716c64;
        --room: #f1efeb; --edge: #8a857c; --known: #d7f2ee; --known-line: #17998a; --up: #c2410c; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #171614; --panel: #201f1c; --line: #45423c; --ink: #efece6; --soft: #a8a298;
          --room: #2d2b27; --edge: #8f897e; --known: #12433d; --known-line: #2dbfae;
          --up: #fb923c; }
  }
  text { fill: var(--ink); font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
  .name { font-weight: 600; font-size: 14px; }
  .soft { fill: var(--soft); font-family: system-ui, sans-serif; }
  .ground { fill: var(--ground); }
  .panel { fill: var(--panel); stroke: var(--line); }
  .room { fill: var(--room); stroke: var(--line); }
  .known { fill: var(--known); stroke: var(--known-line); }
  path { fill: none; stroke: var(--edge); stroke-width: 1.3; marker-end: url(#head); }
  path.up { stroke: var(--up); stroke-dasharray: 4 3; marker-end: url(#head-up); }
  path.thick { stroke-width: 2.2; }
  #head path, #head-up path { stroke: none; marker-end: none; fill: var(--edge); }
  #head-up path { fill: var(--up); }
"""

Edge = tuple[str, str]


def main() -> int:
    """Draw the picture into its file."""
    sys.path.insert(0, str(ROOT))
    PICTURE.write_text(draw(), encoding="utf-8")
    return 0


def draw() -> str:
    """Return the picture as SVG."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = {
        container: [re.findall(r"\w+", layer) for layer in contract["layers"]]
        for contract in contracts["contracts"]
        if contract["type"] == "layers"
        for container in contract.get("containers", [""])
    }
    graph = grimp.build_graph(*contracts["root_packages"], cache_dir=None)
    imports = {
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return _document(layers, graph.modules, imports)


def _document(layers: dict[str, list[list[str]]], modules: set[str], imports: set[Edge]) -> str:
    known = {_room(b) for a, b in imports if _package(a) == APPLICATION and _package(b) == ENGINE}
    panels: dict[str, _Panel] = {}
    parts: list[str] = []
    top = float(MARGIN)
    for row in _package_rows(layers[""]):
        left, height = float(MARGIN), 0.0
        free = WIDTH - 2 * MARGIN - (len(row) - 1) * GAP
        for column in row:
            share = SHARES.get(column[0], 1) / sum(SHARES.get(c[0], 1) for c in row)
            y = top
            for number, package in enumerate(column):
                # Arrows from the column's first package pass beside the others.
                width = free * share - (INDENT if number else 0)
                panel = _panel(package, left, y, width, layers, modules, imports)
                panels[package] = panel
                y += panel.height + GAP
            height = max(height, y - top)
            left += free * share + GAP
        top += height
    parts += [panel.svg(known) for panel in panels.values()]
    packages = {(_package(a), _package(b)) for a, b in imports}
    arrows = _reduced({edge for edge in packages if edge[0] != edge[1]})
    parts += [_between(panels, *edge) for edge in sorted(arrows)]
    legend = (
        f'<rect class="known" x="{MARGIN}" y="{top - 12:.0f}" width="26" height="16" rx="4"/>'
        f'<text class="soft" x="{MARGIN + 34}" y="{top:.0f}">a room of the imaging engine that the '
        "application imports. Arrows point from the importing room to the imported one; an arrow "
        "that</text>"
        f'<text class="soft" x="{MARGIN + 34}" y="{top + 17:.0f}">others imply is left out. '
        "A dashed arrow is an exception that a contract names.</text>"
    )
    bottom = top + 17 + MARGIN
    head = '<path d="M0 0 L8 4 L0 8 z"/>'
    marker = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom:.0f}" '
            f'width="{WIDTH}" height="{bottom:.0f}" role="img">',
            "<title>The packages of Throughline, their rooms, and their imports</title>",
            f"<style>{STYLE}</style>",
            f'<defs><marker id="head" markerUnits="userSpaceOnUse" {marker}>{head}</marker>'
            f'<marker id="head-up" markerUnits="userSpaceOnUse" {marker}>{head}</marker></defs>',
            f'<rect class="ground" width="{WIDTH}" height="{bottom:.0f}" rx="12"/>',
            *parts,
            legend,
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Box:
    """Rectangle by its centre, in pixels."""

    x: float
    y: float
    width: float

    def svg(self, name: str, kind: str) -> str:
        left, top = self.x - self.width / 2, self.y - BOX / 2
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{self.width:.1f}" '
            f'height="{BOX}" rx="6"/><text x="{self.x:.1f}" y="{self.y + 4:.1f}" '
            f'text-anchor="middle">{name}</text>'
        )


@dataclass(frozen=True)
class _Panel:
    """Rectangle of a package, in pixels, with its rooms and the lines between them."""

    package: str
    left: float
    top: float
    width: float
    height: float
    boxes: dict[str, _Box]
    lines: Sequence[tuple[list[tuple[float, float]], bool]]

    def svg(self, known: set[str]) -> str:
        parts = [
            f'<rect class="panel" x="{self.left:.1f}" y="{self.top:.1f}" '
            f'width="{self.width:.1f}" height="{self.height:.1f}" rx="10"/>',
            f'<text x="{self.left + 14:.1f}" y="{self.top + 23:.1f}"><tspan class="name">'
            f'{self.package}</tspan><tspan class="soft" dx="10">'
            f"{HEADINGS.get(self.package, '')}</tspan></text>",
        ]
        parts += [_curve(points, "up" if upward else "") for points, upward in self.lines]
        for room, box in self.boxes.items():
            parts.append(box.svg(room.split(".")[1], "known" if room in known else "room"))
        return "\n".join(parts)


def _package_rows(layers: list[list[str]]) -> list[list[list[str]]]:
    """Return rows of columns of packages; one below a shared row joins its last column.

    The last package of all lies below everything, over the whole width.
    """
    rows: list[list[list[str]]] = []
    for layer in layers:
        if len(layer) == 1 and layer != layers[-1] and rows and len(rows[-1]) > 1:
            rows[-1][-1].append(layer[0])
        else:
            rows.append([[package] for package in layer])
    return rows


def _panel(
    package: str,
    left: float,
    top: float,
    width: float,
    layers: dict[str, list[list[str]]],
    modules: set[str],
    imports: set[Edge],
) -> _Panel:
    rooms = {_room(m) for m in modules if m.startswith(f"{package}.") and "__" not in m}
    edges = {(_room(a), _room(b)) for a, b in imports}
    edges = {(a, b) for a, b in edges if a in rooms and b in rooms and a != b}
    if package in layers:
        rows = [[f"{package}.{name}" for name in layer] for layer in layers[package]]
        rows = [[room for room in row if room in rooms] for row in rows]
        boxes, lines, height = _layered([row for row in rows if row], edges, left, top, width)
    else:
        boxes, height = _listed(sorted(rooms), left, top, width)
        lines = []
    return _Panel(package, left, top, width, height, boxes, lines)


def _listed(
    rooms: Iterable[str], left: float, top: float, width: float
) -> tuple[dict[str, _Box], float]:
    """Lay rooms out one after another, as words in a paragraph."""
    boxes: dict[str, _Box] = {}
    x, y = left + 14, top + TITLE + BOX / 2 + 4
    for room in rooms:
        size = _width(room)
        if x + size > left + width - 14:
            x, y = left + 14, y + BOX + 8
        boxes[room] = _Box(x + size / 2, y, size)
        x += size + 8
    return boxes, y + BOX / 2 + 12 - top


def _layered(
    rows: list[list[str]], edges: set[Edge], left: float, top: float, width: float
) -> tuple[dict[str, _Box], list[tuple[list[tuple[float, float]], bool]], float]:
    """Lay rooms out in rows so that few arrows cross (Sugiyama's method), and route the arrows."""
    level = {room: number for number, row in enumerate(rows) for room in row}
    upward = {(a, b) for a, b in edges if level[a] > level[b]}
    downward = _reduced({(a, b) for a, b in edges if level[a] < level[b]})
    # A long arrow passes each row between its ends in a point of its own.
    chains: dict[Edge, list[str]] = {}
    order = [sorted(row) for row in rows]
    for a, b in sorted(downward):
        passed = [f"{a}>{b}>{number}" for number in range(level[a] + 1, level[b])]
        chains[a, b] = [a, *passed, b]
        for number, point in enumerate(passed, level[a] + 1):
            order[number].append(point)
    links = [link for chain in chains.values() for link in pairwise(chain)]
    order = _with_few_crossings(order, links)
    x = _placed(order, links, left + 18, width - 36)
    y = {name: top + TITLE + ROW * (n + 0.45) for n, row in enumerate(order) for name in row}
    boxes = {room: _Box(x[room], y[room], _width(room)) for row in rows for room in row}
    starts = _ports([(c[0], c[1]) for c in chains.values()], boxes, x)
    ends = _ports([(c[-1], c[-2]) for c in chains.values()], boxes, x)
    lines: list[tuple[list[tuple[float, float]], bool]] = []
    for chain in chains.values():
        points = [(starts[chain[0], chain[1]], y[chain[0]] + BOX / 2)]
        for point in chain[1:-1]:
            points += [(x[point], y[point] - BOX / 2), (x[point], y[point] + BOX / 2)]
        points.append((ends[chain[-1], chain[-2]], y[chain[-1]] - BOX / 2 - 1))
        lines.append((points, False))
    for a, b in sorted(upward):
        shift = boxes[a].width / 3
        lines.append(([(x[a] + shift, y[a] - BOX / 2), (x[b] + shift, y[b] + BOX / 2 + 1)], True))
    return boxes, lines, TITLE + ROW * len(rows) + 4


def _with_few_crossings(order: list[list[str]], links: list[Edge]) -> list[list[str]]:
    """Sort rows by the mean index of their neighbours, then exchange pairs while that helps."""
    near: dict[str, list[str]] = {}
    for a, b in links:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    best, least = order, _tangle(order, links)
    for sweep in range(24):
        order = [list(row) for row in order]
        numbers = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        for number in numbers:
            index = _relative(order[number - 1 if sweep % 2 == 0 else number + 1])
            mean = {
                name: _mean([index[n] for n in near.get(name, ()) if n in index], 0.5)
                for name in order[number]
            }
            order[number].sort(key=mean.__getitem__)
        if (tangle := _tangle(order, links)) < least:
            best, least = order, tangle
    exchanged = True
    while exchanged:
        exchanged = False
        for number, row in enumerate(best):
            for i, j in combinations(range(len(row)), 2):
                trial = [list(row) for row in best]
                trial[number][i], trial[number][j] = row[j], row[i]
                if (tangle := _tangle(trial, links)) < least:
                    best, least, exchanged = trial, tangle, True
                    row = best[number]
    return best


def _relative(row: list[str]) -> dict[str, float]:
    """Return the position of each name in its row, from 0 to 1."""
    return {name: (i + 0.5) / len(row) for i, name in enumerate(row)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _tangle(order: list[list[str]], links: list[Edge]) -> float:
    """Return a measure of how hard an order is to read: crossings, and the lines' slant."""
    level = {name: number for number, row in enumerate(order) for name in row}
    at = {name: x for row in order for name, x in _relative(row).items()}
    crossings = sum(
        level[a] == level[c] and (at[a] - at[c]) * (at[b] - at[d]) < 0
        for (a, b), (c, d) in combinations(links, 2)
    )
    return crossings + sum(abs(at[a] - at[b]) for a, b in links)


def _placed(
    order: list[list[str]], links: list[Edge], left: float, width: float
) -> dict[str, float]:
    """Return the centres of rooms and points: near their neighbours, and apart from each other."""
    x: dict[str, float] = {}
    for row in order:
        total = sum(_width(name) + BETWEEN for name in row) - BETWEEN
        at = left + (width - total) / 2
        for name in row:
            x[name] = at + _width(name) / 2
            at += _width(name) + BETWEEN
    near: dict[str, list[str]] = {}
    for a, b in links:
        # Points of one long arrow hold each other, so that it runs straight.
        for name, other in ((a, b), (b, a)):
            near.setdefault(name, []).extend([other] * (8 if ">" in name and ">" in other else 1))
    for _ in range(200):
        for row in order:
            wish = [_mean([x[n] for n in near.get(name, ())], x[name]) for name in row]
            x.update(zip(row, _apart(row, wish, left, width), strict=True))
    # Centre everything in the package.
    edges = [x[name] + side * _width(name) / 2 for name in x for side in (-1, 1)]
    shift = left + width / 2 - (min(edges) + max(edges)) / 2
    return {name: centre + shift for name, centre in x.items()}


def _apart(row: list[str], wish: list[float], left: float, width: float) -> list[float]:
    """Move wished centres as little as need be for boxes not to touch (pooled neighbours)."""
    offsets = [0.0]
    for a, b in pairwise(row):
        offsets.append(offsets[-1] + (_width(a) + _width(b)) / 2 + _between_boxes(a, b))
    blocks: list[tuple[float, int]] = []  # mean and count of wishes less offsets, never falling
    for value in (w - o for w, o in zip(wish, offsets, strict=True)):
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean = (mean * count + before * number) / (count + number)
            count += number
        blocks.append((mean, count))
    least = left + _width(row[0]) / 2
    most = left + width - _width(row[-1]) / 2 - offsets[-1]
    bases = [min(max(mean, least), most) for mean, count in blocks for _ in range(count)]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]


def _ports(ends: list[Edge], boxes: dict[str, _Box], x: dict[str, float]) -> dict[Edge, float]:
    """Return the x at which each arrow meets its box: side by side, in the order of targets."""
    found: dict[Edge, float] = {}
    for room in sorted({room for room, _ in ends}):
        others = sorted({other for r, other in ends if r == room}, key=lambda name: (x[name], name))
        step = min(14.0, (boxes[room].width - 16) / max(1, len(others) - 1))
        for number, other in enumerate(others):
            found[room, other] = x[room] + step * (number - (len(others) - 1) / 2)
    return found


def _curve(points: list[tuple[float, float]], kind: str) -> str:
    """Return a line through points that leaves and reaches each vertically."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        path += f" C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return f'<path class="{kind}" d="{path}"/>' if kind else f'<path d="{path}"/>'


def _between(panels: dict[str, _Panel], upper: str, lower: str) -> str:
    """Return a vertical arrow between two packages, past those that lie between them."""
    a, b = panels[upper], panels[lower]
    low, high = max(a.left, b.left), min(a.left + a.width, b.left + b.width)
    start, end = a.top + a.height, b.top - 1
    passed = [p for p in panels.values() if start < p.top < end]
    middle = (low + high) / 2
    x = min(
        range(round(low) + 12, round(high) - 12),
        key=lambda x: (
            any(abs(x - p.left - p.width / 2) < p.width / 2 + 16 for p in passed),
            abs(x - middle),
        ),
    )
    return f'<path class="thick" d="M{x} {start:.1f} L{x} {end:.1f}"/>'


def _reduced(edges: set[Edge]) -> set[Edge]:
    """Return the edges of an acyclic graph that no path of other edges implies."""
    below: dict[str, set[str]] = {}
    for a, b in edges:
        below.setdefault(a, set()).add(b)

    def reached(name: str) -> set[str]:
        direct = below.get(name, set())
        return direct.union(*(reached(other) for other in direct))

    return {(a, b) for a, b in edges if not any(b in reached(c) for c in below[a] if c != b)}


def _width(name: str) -> float:
    """Return the width of a room's box; points of long arrows have hardly any."""
    return 2.0 if ">" in name else len(name.split(".")[1]) * LETTER + PADDING


def _between_boxes(a: str, b: str) -> float:
    return 14.0 if ">" in a or ">" in b else BETWEEN


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _package(module: str) -> str:
    return module.partition(".")[0]


if __name__ == "__main__":
    sys.exit(main())
