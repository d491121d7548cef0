"""What previews cost, and how far they are from what they announce.

    python -m benchmarks.previews [--model miniature] [--frames 5] [--repeats 7] [--out DIR] ...

storyboard: all frames, with previews as often as the page shows them, and without, in alternating
    rounds; the painted pictures are the same.
distance: how far in colour each preview is from its finished frame, by the step after which it is
    shown, and how far what the quick decoder shows is where only the decoder differs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.measuring import Paint, Workbench, arguments_for, cost, warm_up
from evaluation.metrics.color import pixel_distance
from evaluation.results import Section, Spread, alternate
from pipelines.events import FrameDone, Preview, StepDone
from pipelines.loading.previews import find_previews
from pipelines.models.catalog import FLUX1_DEV, MINIATURE
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from pipelines.sampling.previews import Previews

SECTIONS = ("storyboard", "distance")
_NOTHING_FOUND = "Nothing was found that shows this model's frames while they are painted."


def storyboard(bench: Workbench, previews: Previews) -> None:
    """Seconds of a storyboard with previews and without."""
    request, shown = bench.story(), dict.fromkeys(("without", "with previews"), 0)

    def way(name: str, used: Previews | None) -> Paint:
        def paint(wanted: RenderRequest) -> int:
            events = list(
                bench.model.pipeline.stream(
                    wanted, RenderContext(max_sequence_length=bench.model.words, previews=used)
                )
            )
            shown[name] = sum(isinstance(event, Preview) for event in events)
            return sum(isinstance(event, StepDone) for event in events)

        return paint

    ways = {"without": way("without", None), "with previews": way("with previews", previews)}
    warm_up(bench.model, list(ways.values()), request)

    def seconds(paint: Paint) -> float:
        return cost(bench.model, paint, request).seconds

    rounds = {name: partial(seconds, paint) for name, paint in ways.items()}
    found = list(alternate(rounds, bench.options.repeats))[-1]
    rows = tuple(
        (name, spread.text(), spread.ratio_text(found["without"]), str(shown[name]))
        for name, spread in found.items()
    )
    notes = (
        *bench.notes(request),
        f"{bench.options.repeats} rounds; a preview after every {previews.every} steps of a frame, "
        f"and at most one in {previews.seconds:g} s; how many there were is of the last round",
    )
    head = ("way", "seconds", "ratio to without", "previews")
    title = f"{bench.model.title}: a storyboard of {len(request.frames)} with previews"
    bench.results.put(Section(bench.name("storyboard"), title, notes, head, rows))


def distance(bench: Workbench, previews: Previews) -> None:
    """Colour distances of previews to the finished frames."""
    request = bench.story()
    found = distances(bench, Previews(previews.decoder, previews.every, seconds=0), request)
    rows = tuple(
        (after, Spread(tuple(apart)).text(1), str(len(apart))) for after, apart in found.items()
    )
    notes = (
        *bench.notes(request),
        "mean over the pixels of the distance in CIELAB (CIE76), of the size that previews have; "
        "the median frame, in brackets the least and the most",
        "decoder alone: the finished frame's own latents as the quick decoder shows them",
    )
    head = ("shown after step", "distance to the finished frame", "frames")
    title = f"{bench.model.title}: previews against what they announce"
    bench.results.put(Section(bench.name("distance"), title, notes, head, rows))


def distances(
    bench: Workbench, previews: Previews, request: RenderRequest
) -> dict[str, list[float]]:
    """Of every frame, how far its previews are from it, by when they are shown."""
    pipeline, step = bench.model.pipeline, 0
    waiting: dict[str, list[tuple[int, Image.Image]]] = defaultdict(list)
    by_step: dict[int, list[float]] = defaultdict(list)
    alone = []
    decode = pipeline.decode

    def watched(latents: Tensor, height: int, width: int) -> Image.Image:
        picture = decode(latents, height, width)
        shown = previews.picture(pipeline.unpack(latents, height, width))
        alone.append(apart(shown, picture))
        return picture

    with mock.patch.object(pipeline, "decode", watched):
        for event in pipeline.stream(
            request, RenderContext(max_sequence_length=bench.model.words, previews=previews)
        ):
            if isinstance(event, StepDone):
                step = event.step
            elif isinstance(event, Preview):
                waiting[event.frame_id].append((step, event.image))
            elif isinstance(event, FrameDone):
                for after, image in waiting.pop(event.frame_id, []):
                    by_step[after].append(apart(image, event.image))
    return {**{str(after): by_step[after] for after in sorted(by_step)}, "decoder alone": alone}


def apart(preview: Image.Image, picture: Image.Image) -> float:
    """Mean colour distance of a preview to a picture, at the preview's size."""
    small = picture.resize(preview.size, Image.Resampling.BILINEAR)
    return pixel_distance(*(torch.tensor(np.asarray(image)) for image in (preview, small)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for."""
    parser = arguments_for("previews", SECTIONS, "What previews cost, and how exact they are.")
    bench = Workbench(parser.parse_args(arguments), "previews")
    spec = MINIATURE if bench.options.model == MINIATURE.name else FLUX1_DEV
    previews = find_previews(spec, bench.model.pipeline)
    if previews is None:
        raise SystemExit(_NOTHING_FOUND)
    run = {"storyboard": storyboard, "distance": distance}
    for section in bench.wanted(SECTIONS):
        run[section](bench, previews)
    return 0


if __name__ == "__main__":
    sys.exit(main())
