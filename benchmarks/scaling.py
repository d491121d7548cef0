"""Growth of a storyboard's seconds: with its frames, its pictures' tokens, and with workers.

    python -m benchmarks.scaling [--model miniature|middle|flux-dev] [--only SECTION]
        [--counts 1,2,4,8,16,32] [--tokens 256,1024,2304,4096] [--workers 1,2,4] [--out DIR] ...

frames: storyboards of 1 to 32 frames, by us in each order, against as many plain pictures.
tokens: pictures of 256 to 4,096 tokens, likewise.
workers: storyboards of the miniature, rendered by 1 to 4 workers through Ray.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.measuring import Workbench, arguments_for, numbers, orders, warm_up
from benchmarks.random_models import ACTIONS, CHARACTER, LOCATIONS
from benchmarks.speed import ways_to_render
from evaluation.results import Spread, describe_machine
from pipelines.models.catalog import MINIATURE
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.engine import Engine
from storyboard.jobs.runner import Runner
from storyboard.settings import Settings, Workers
from storyboard.storage.projects import Store

_TOKEN_PIXELS = 16


def frames(bench: Workbench) -> None:
    """Measure storyboards of more and more frames."""
    requests = {str(count): bench.story(frames=count) for count in bench.options.counts}
    grown(bench, "frames", requests, "of more and more frames")


def tokens(bench: Workbench) -> None:
    """Measure pictures of more and more tokens."""
    requests = {}
    for count in bench.options.tokens:
        side = round(count**0.5)
        if side**2 != count:
            raise SystemExit(f"{count} tokens are no square")
        requests[str(count)] = bench.story(side=side * _TOKEN_PIXELS)
    grown(bench, "tokens", requests, "in larger and larger pictures")


def grown(bench: Workbench, section: str, requests: dict[str, RenderRequest], sizes: str) -> None:
    """Render each request in every way, in alternating rounds, and keep the table after each."""
    ways = ways_to_render(bench, dense=False)
    rows: list[tuple[str, ...]] = []
    for number, (size, request) in enumerate(requests.items(), start=1):
        warm_up(bench.model, list(ways.values()), request)
        rows.append((size, *growth_cells(bench.seconds(ways, request))))
        print(" | ".join(rows[-1]), flush=True)
        head = (section, *(f"{name}, s" for name in ways))
        head += tuple(f"{name} / plain" for name in list(ways)[1:])
        notes = (
            *bench.notes(request),
            f"{bench.options.repeats} rounds; the first of these lines describes the last row",
        )
        title = f"{bench.model.title}: storyboards {sizes}"
        bench.put(section, title, notes, head, rows, finished=number == len(requests))


def growth_cells(found: dict[str, Spread]) -> tuple[str, ...]:
    """Return the seconds of every way, and the ratios of all but the first to the first."""
    plain, *ours = found.values()
    return (
        *(spread.text() for spread in (plain, *ours)),
        *(spread.ratio_text(plain) for spread in ours),
    )


def workers(bench: Workbench) -> None:
    """Measure storyboards that several processes render; a first job of each is not counted."""
    if importlib.util.find_spec("ray") is None:
        raise SystemExit("Workers take Ray: pip install ray")
    from storyboard.jobs.ray.runner import RayRunner

    options = bench.options
    board = story_board(options.frames, options.steps, options.side)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in options.workers:
            settings = Settings(folder, device=str(bench.device), workers=Workers(count))
            with closing(RayRunner(settings, Engine, random.Random(0))) as runner:
                _, *counted = job_seconds(runner, Store(folder), board, options.repeats + 1)
            found[count] = Spread(tuple(counted))
            print(f"{count} workers: {found[count].text()} s", flush=True)
    least = found[options.workers[0]]
    rows = tuple(
        (str(count), spread.text(), f"{least.median / spread.median:.2f}")
        for count, spread in found.items()
    )
    size = f"{board.settings.width}x{board.settings.height}"
    notes = (
        f"{MINIATURE.title}, {len(board.frames)} frames, {size} pixels, "
        f"{board.settings.steps or MINIATURE.steps} steps; from the start of a job to its end, "
        f"{options.repeats} jobs after one that loads the model in all workers; pictures are saved",
        "workers share the cores of the machine here",
        describe_machine(bench.device),
    )
    head = ("workers", "seconds", "times as fast as the first row")
    title = f"{MINIATURE.title}: workers through Ray"
    bench.put("workers", title, notes, head, rows)


def job_seconds(runner: Runner, store: Store, board: Storyboard, jobs: int) -> Iterator[float]:
    """Render a storyboard again and again, each time in a new project; yields the seconds.

    Raises:
        RuntimeError: if a job does not finish.
    """
    for _ in range(jobs):
        project = store.create(board)
        begun = time.perf_counter()
        job = runner.start(project, None)
        job.wait()
        seconds = time.perf_counter() - begun
        if job.state != "finished":
            raise RuntimeError(f"a job has {job.state}: {list(job.events())[-1]}")
        yield seconds


def story_board(count: int, steps: int | None, side: int | None) -> Storyboard:
    """Make a storyboard of one character in the miniature's words."""
    words = [(LOCATIONS[i % len(LOCATIONS)], ACTIONS[i % len(ACTIONS)]) for i in range(count)]
    pixels = side or MINIATURE.width
    return Storyboard(
        character=Character(description=CHARACTER.rstrip(",")),
        frames=tuple(
            Frame(location=location.rstrip(","), action=action, seed=index)
            for index, (location, action) in enumerate(words)
        ),
        settings=RenderSettings(width=pixels, height=pixels, steps=steps),
    )


SECTIONS = {"frames": frames, "tokens": tokens, "workers": workers}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested sections."""
    parser = arguments_for("scaling", SECTIONS, "Growth of a storyboard's seconds.")
    parser.add_argument("--orders", type=orders, default=("bank", "lockstep"))
    parser.add_argument("--batches", type=numbers, default=(4,), help="such as 1,4")
    parser.add_argument("--counts", type=numbers, default=(1, 2, 4, 8, 16, 32))
    parser.add_argument("--tokens", type=numbers, default=(256, 1024, 2304, 4096))
    parser.add_argument("--workers", type=numbers, default=(1, 2, 4))
    Workbench(parser.parse_args(arguments), "scaling").run(SECTIONS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
