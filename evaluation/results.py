"""Results of measurements: spreads, tables, the machine, and the pages that hold the tables.

    python -m evaluation.results DIR ...

puts the tables that commands wrote with `--out DIR`, on this machine or another, into
`benchmarks/RESULTS.md`. Every table stands there between two marks with its name, and replaces the
one that was there before.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import UserError
from pipelines.models.measured import Interval
from storyboard.storage.files import write_atomically

if TYPE_CHECKING:
    import torch
    from diffusers import FluxTransformer2DModel

PAGE = Path(__file__).resolve().parents[1] / "benchmarks" / "RESULTS.md"
NOTHING = "–"
_PARTIAL = ".partial"
_PROCESSORS = Path("/proc/cpuinfo")
GIGABYTE = 10**9


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity, in the order of the rounds."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a spread needs at least one measurement")

    @property
    def median(self) -> float:
        """Middle value."""
        return statistics.median(self.values)

    def text(self, digits: int = 2) -> str:
        """Format the median, the least and the most."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    def ratio_text(self, base: Spread) -> str:
        """Format the ratio of the medians, and the least and the most of any round."""
        rounds = [one / other for one, other in zip(self.values, base.values, strict=True)]
        ratio = self.median / base.median
        return f"{ratio:.3f} ({min(rounds):.3f} to {max(rounds):.3f})"


def alternate(
    variants: Mapping[str, Callable[[], float]], repeats: int
) -> Iterator[dict[str, Spread]]:
    """Measure variants in turns, so that other load on the machine affects all of them.

    Every other round goes backwards, so that a machine that gets slower favours none.

    Yields:
        After each round all measurements so far.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            found[name].append(variants[name]())
        yield {name: Spread(tuple(values)) for name, values in found.items()}


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def interval_text(interval: Interval | None, digits: str, times: float = 1) -> str:
    """Format an interval's value and ends, times a factor; a dash for None."""
    if interval is None:
        return NOTHING
    value, low, high = (format(times * x, digits) for x in astuple(interval))
    return f"{value} ({low} to {high})"


def gigabytes(count: float) -> str:
    """Format bytes as GB of 10^9, to the megabyte where they are few."""
    size = count / GIGABYTE
    return f"{size:.2f}" if size >= 1 else f"{size:.3f}" if size >= 0.01 else f"{size:.6f}"


def describe_machine(device: torch.device) -> str:
    """Describe the machine in one line, without names of hosts or paths."""
    import diffusers
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        _processor(),
        f"{os.cpu_count()} cores",
        f"{torch.get_num_threads()} threads",
        f"{memory:.0f} GiB of memory",
    ]
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        parts.insert(0, f"{card.name} with {card.total_memory / 2**30:.0f} GiB")
        parts.append(f"CUDA {torch.version.cuda}")
    return ", ".join([*parts, f"torch {torch.__version__}", f"diffusers {diffusers.__version__}"])


def _processor() -> str:
    if _PROCESSORS.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", _PROCESSORS.read_text(), re.MULTILINE)
        if names:
            return str(names[0]).strip()
    return platform.processor() or platform.machine()


def attention_backend(transformer: FluxTransformer2DModel) -> str:
    """Return the attention backend of a transformer's processors."""
    named = getattr(transformer.transformer_blocks[0].attn.processor, "_attention_backend", None)
    return "native (torch SDPA)" if named is None else str(getattr(named, "value", named))


@dataclass(frozen=True)
class Section:
    """Table with its heading and notes.

    Attributes:
        name: name of its marks, such as "speed-miniature-storyboard".
        title: its heading.
        notes: the measured render, the method and the machine, a sentence each.
        head: titles of the columns.
        rows: cells.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        """Section in Markdown."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        return f"### {self.title}\n\n{grid(self.head, self.rows)}\n\n{notes}\n"


class Results:
    """Prints sections, and keeps them on the page or in a folder.

    Args:
        out: a folder that takes a file for each section; None for the page.
        page: the page; None for `PAGE`.
    """

    def __init__(self, out: Path | None, page: Path | None = None) -> None:
        self._out, self._page = out, page or PAGE
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)

    def has(self, name: str) -> bool:
        """Return whether the folder holds this section, finished; a page is always rewritten."""
        return self._out is not None and (self._out / f"{name}.md").exists()

    def put(self, section: Section, *, finished: bool = True) -> None:
        """Keep a section; one that is not finished only in a folder, under another name."""
        if finished:
            print(f"\n{section.text}", flush=True)
        if self._out is not None:
            partial = self._out / f"{section.name}{_PARTIAL}.md"
            partial.write_text(section.text, encoding="utf-8")
            if finished:
                partial.replace(self._out / f"{section.name}.md")
        elif finished:
            put_on_page(self._page, section.name, section.text)


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a page holds the section of this name."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def put_on_page(page: Path, name: str, text: str, *, append: bool = True) -> None:
    """Put Markdown between the marks of its name, in place of the text that is there.

    With `append` a page without these marks gets them at its end.

    Raises:
        UserError: if the page cannot be read or written, or lacks the marks.
    """
    begin, end = marks(name)
    try:
        whole = page.read_text(encoding="utf-8")
        before, opening, rest = whole.partition(begin)
        _, closing, after = rest.partition(end)
        if append and not opening:
            before, after = f"{whole.rstrip()}\n\n", "\n"
        elif not closing:
            raise UserError(
                f"{page} has no place for tables.",
                f"Write the lines {begin} and {end} where they should go.",
            )
        write_atomically(page, f"{before}{begin}\n\n{text}\n{end}{after}".encode())
    except OSError as error:
        raise UserError(f"{page} cannot be used ({error.strerror or error}).") from error


def collect(folder: Path, page: Path = PAGE) -> list[str]:
    """Put the sections of a folder on the page; returns their names.

    Unfinished sections are put there too.
    """
    names = []
    for file in sorted(folder.glob("*.md")):
        name = file.stem.removesuffix(_PARTIAL)
        if file.stem == name or not (folder / f"{name}.md").exists():
            put_on_page(page, name, file.read_text(encoding="utf-8"))
            names.append(name)
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the sections of folders on the page."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.results", description="Collect tables into RESULTS.md."
    )
    parser.add_argument("folders", type=Path, nargs="+", help="what --out was given")
    for folder in parser.parse_args(arguments).folders:
        print("\n".join(collect(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
