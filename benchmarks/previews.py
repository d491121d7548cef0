"""Cost of previews, and their distance from the finished frames.

    python -m benchmarks.previews [--model miniature] [--frames 5] [--repeats 7] [--out DIR] ...

storyboard: all frames, with previews as often as the page shows them, and without, in alternating
    rounds; the rendered pictures are the same.
distance: colour distance of each preview from its finished frame, by the step after which it is
    shown, and that of the finished frame's own latents through the quick decoder.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import RenderWay, Workbench, arguments_for, warm_up
from evaluation.metrics.color import pixel_distance
from evaluation.results import Spread
from pipelines.events import FrameDone, Preview, StepDone
from pipelines.loading.previews import find_previews
from pipelines.models.catalog import FLUX1_DEV, MINIATURE
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from pipelines.sampling.previews import Previews

_NOTHING_FOUND = "Nothing was found that shows this model's frames while they are rendered."


def storyboard(previews: Previews, bench: Workbench) -> None:
    """Measure the seconds of a storyboard with previews and without."""
    request, shown = bench.story(), {}

    def way(name: str, used: Previews | None) -> RenderWay:
        def render(rendered: RenderRequest) -> int:
            events = bench.model.pipeline.stream(
                rendered, RenderContext(max_sequence_length=bench.model.text_tokens, previews=used)
            )
            counts = Counter(map(type, events))
            shown[name] = counts[Preview]
            return counts[StepDone]

        return render

    ways = {"without": way("without", None), "with previews": way("with previews", previews)}
    warm_up(bench.model, list(ways.values()), request)
    found = bench.seconds(ways, request)
    rows = [
        (name, spread.text(), spread.ratio_text(found["without"]), str(shown[name]))
        for name, spread in found.items()
    ]
    notes = (
        *bench.notes(request),
        f"{bench.options.repeats} rounds; a preview after every {previews.every} steps of a frame, "
        f"and at most one in {previews.seconds:g} s; how many there were is of the last round",
    )
    head = ("way", "seconds", "ratio to without", "previews")
    title = f"{bench.model.title}: a storyboard of {len(request.frames)} with previews"
    bench.put("storyboard", title, notes, head, rows)


def distance(previews: Previews, bench: Workbench) -> None:
    """Measure the colour distances of previews to the finished frames."""
    request = bench.story()
    found = distances(bench, Previews(previews.decoder, previews.every, seconds=0), request)
    rows = [
        (after, Spread(tuple(apart)).text(1), str(len(apart))) for after, apart in found.items()
    ]
    notes = (
        *bench.notes(request),
        "mean over the pixels of the distance in CIELAB (CIE76), of the size that previews have; "
        "the median frame, in brackets the least and the most",
        "decoder alone: the finished frame's own latents as the quick decoder shows them",
    )
    head = ("shown after step", "distance to the finished frame", "frames")
    title = f"{bench.model.title}: previews against what they announce"
    bench.put("distance", title, notes, head, rows)


@torch.no_grad()
def distances(
    bench: Workbench, previews: Previews, request: RenderRequest
) -> dict[str, list[float]]:
    """Compute the distances of previews to their frames, by the step after which they are shown.

    The last, "decoder alone", are those of the frames' final latents through the quick decoder.
    """
    pipeline, step = bench.model.pipeline, 0
    waiting: dict[str, list[tuple[int, Image.Image]]] = defaultdict(list)
    by_step: dict[int, list[float]] = defaultdict(list)
    alone = []
    for event in pipeline.stream(
        request, RenderContext(max_sequence_length=bench.model.text_tokens, previews=previews)
    ):
        if isinstance(event, StepDone):
            step = event.step
        elif isinstance(event, Preview):
            waiting[event.frame_id].append((step, event.image))
        elif isinstance(event, FrameDone):
            picture = event.image
            latents = pipeline.unpack(pipeline.decoded.pop(), picture.height, picture.width)
            alone.append(apart(previews.picture(latents), picture))
            for after, image in waiting.pop(event.frame_id, []):
                by_step[after].append(apart(image, picture))
    return {**{str(after): by_step[after] for after in sorted(by_step)}, "decoder alone": alone}


def apart(preview: Image.Image, picture: Image.Image) -> float:
    """Return the mean colour distance of a preview to a picture, at the preview's size."""
    small = picture.resize(preview.size, Image.Resampling.BILINEAR)
    return pixel_distance(*(torch.tensor(np.asarray(image)) for image in (preview, small)))


SECTIONS = {"storyboard": storyboard, "distance": distance}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested sections."""
    parser = arguments_for("previews", SECTIONS, "Cost of previews, and their distances.")
    bench = Workbench(parser.parse_args(arguments), "previews")
    spec = MINIATURE if bench.options.model == MINIATURE.name else FLUX1_DEV
    previews = find_previews(spec, bench.model.pipeline)
    if previews is None:
        raise SystemExit(_NOTHING_FOUND)
    bench.run({name: partial(measure, previews) for name, measure in SECTIONS.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
