"""What benchmarks of speed and memory find: spreads, tables, the machine, and the page they are on.

    python -m evaluation.results DIR ...

puts the tables that commands wrote with `--out DIR`, on this machine or another, into
`benchmarks/RESULTS.md`. There every table stands between two marks of its own, and takes the place
of the one that was there before.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch

from storyboard.storage.files import write_atomically

PAGE = Path(__file__).resolve().parents[1] / "benchmarks" / "RESULTS.md"
NOTHING = "–"
_PARTIAL = ".partial"
_PROCESSORS = Path("/proc/cpuinfo")
GIGABYTE = 10**9


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing, in the order of the rounds.

    Attributes:
        values: one a round.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a spread needs at least one measurement")

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, digits: int = 2) -> str:
        """Median, least and most."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    def ratio_text(self, base: Spread) -> str:
        """The ratio of the medians, and the least and the most of any round."""
        rounds = [one / other for one, other in zip(self.values, base.values, strict=True)]
        ratio = self.median / base.median
        return f"{ratio:.3f} ({min(rounds):.3f} to {max(rounds):.3f})"


def alternate(
    variants: Mapping[str, Callable[[], float]], repeats: int
) -> Iterator[dict[str, Spread]]:
    """Measure variants in turns, so that whatever else the machine does meets all of them.

    Every other round goes backwards: a machine that gets slower favours nobody.

    Args:
        variants: measures one of them, by its name.
        repeats: rounds.

    Yields:
        After each round all measurements so far.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            found[name].append(variants[name]())
        yield {name: Spread(tuple(values)) for name, values in found.items()}


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def gigabytes(count: float) -> str:
    """Bytes as GB of 10^9, to the megabyte where they are few."""
    size = count / GIGABYTE
    return f"{size:.2f}" if size >= 1 else f"{size:.3f}" if size >= 0.01 else f"{size:.6f}"


def describe_machine(device: torch.device) -> str:
    """What computes, in one line; no names of hosts, no paths."""
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


def attention_backend(transformer: diffusers.FluxTransformer2DModel) -> str:
    """The attention backend that a transformer's processors take."""
    named = getattr(transformer.transformer_blocks[0].attn.processor, "_attention_backend", None)
    return "native (torch SDPA)" if named is None else str(getattr(named, "value", named))


@dataclass(frozen=True)
class Section:
    """One table with what belongs to it.

    Attributes:
        name: its marks' name, such as "speed-miniature-storyboard".
        title: its heading.
        notes: what was measured, how and on what, a sentence each.
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
        """In Markdown."""
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
        """Whether the folder holds this section, finished; a page is always written anew."""
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


def put_on_page(page: Path, name: str, text: str) -> None:
    """Put a section between its marks, or at the end of the page where it has none yet."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = page.read_text(encoding="utf-8")
    before, mark, rest = whole.partition(begin)
    _, closing, after = rest.partition(end)
    if mark and not closing:
        raise ValueError(f"{page.name} has {begin} without {end}")
    if not mark:
        before, after = f"{whole.rstrip()}\n\n", "\n"
    write_atomically(page, f"{before}{begin}\n\n{text}\n{end}{after}".encode())


def collect(folder: Path, page: Path = PAGE) -> list[str]:
    """Put the sections of a folder on the page; returns their names.

    Sections that were not finished are put there too, as what they are.
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
