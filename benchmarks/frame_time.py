"""Seconds of a frame by part, from the events of a real render.

    python -m benchmarks.frame_time [--story FILE] [--model NAME] [--repeats N] [--threads N]

Renders the story's frames several times with one loaded model and prints the median of each
part over all frames that have a probe pass. `plain` is the same story without consistency, in
the same process, in turns; the last line is the ratio of `consistent` to it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch

from evaluation.studies.contact_sheet import story_requests
from pipelines.devices import choose_device
from pipelines.events import FrameDone, FrameStarted, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import find_model
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from storyboard.importing.story_file import EXAMPLE_STORY, read_story

PARTS = ("text", "probe", "render", "decode", "frame")


def timed_frames(
    pipeline: FluxStoryboardPipeline, request: RenderRequest, max_sequence_length: int
) -> Iterator[dict[str, float]]:
    """Render a request; yields the seconds of each part of each frame.

    `text` is the frame's share of encoding all prompts; `frame` is the sum.
    """
    started = time.perf_counter()
    text = since = 0.0
    parts: dict[str, float] = defaultdict(float)
    for event in pipeline.stream(request, RenderContext(max_sequence_length=max_sequence_length)):
        now = time.perf_counter()
        if isinstance(event, FrameStarted):
            text = text or (now - started) / len(request.frames)
            parts, since = defaultdict(float, text=text), now
        elif isinstance(event, StepDone):
            parts[event.phase] += now - since
            since = now
        elif isinstance(event, FrameDone):
            parts["decode"] += now - since
            parts["frame"] = sum(parts.values())
            yield dict(parts)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.frame_time", description="Seconds of a frame, by part."
    )
    parser.add_argument("--story", type=Path, default=EXAMPLE_STORY, help="a story file")
    parser.add_argument("--model", help="a model other than the story's")
    parser.add_argument("--repeats", type=int, default=3, help="renders of the whole story")
    parser.add_argument("--threads", type=int, help="torch's threads; its own choice if left out")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    board = read_story(options.story).storyboards[0]
    if options.model:
        settings = board.settings.model_copy(update={"model": options.model})
        board = board.model_copy(update={"settings": settings})
    spec = find_model(board.settings.model)
    pipeline = load_pipeline(spec)

    seconds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(options.repeats):
        for name, request in story_requests(board).items():
            frames = list(timed_frames(pipeline, request, spec.max_sequence_length))
            seconds[name] += frames[1:]  # the first has no probe pass, and warms up
    size = f"{board.settings.width}x{board.settings.height}"
    steps = board.settings.steps or spec.steps
    print(
        f"{spec.name}, {size}, {steps} steps, true CFG {spec.true_cfg_scale:g}, {pipeline.dtype}, "
        f"{choose_device(None)}, {torch.get_num_threads()} threads; "
        f"median seconds of {len(seconds['plain'])} frames"
    )
    print(f"{'':12}" + "".join(f"{part:>9}" for part in PARTS))
    medians = {}
    for name, frames in seconds.items():
        row = {part: statistics.median(f.get(part, 0.0) for f in frames) for part in PARTS}
        medians[name] = row["frame"]
        print(f"{name:12}" + "".join(f"{row[part]:9.3f}" for part in PARTS))
    print(f"consistent / plain: {medians['consistent'] / medians['plain']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
