"""Stories of two frames of the drawn world, rendered and read, for the study of masks.

An identity frame, and one of the same character in another place and action; both in wordings of no
training prompt. Knows nothing of how masks and matches are scored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evaluation.rows import own_request
from evaluation.studies.agreement import BoolGrid, TokenTruth, token_truth
from miniature.judge.reading import Judge
from miniature.model.recipe import Recipe
from miniature.world.prompts import write_prompt
from miniature.world.spec import sample_spec
from pipelines.events import FrameDone, MaskFound, Phase, TokenMatches
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, Prompt, RenderRequest
from pipelines.sampling.context import RenderContext

# The world and its shares as in training, but always one figure.
WORLD = replace(Recipe().world, empty_share=0.0, pair_share=0.0)
FRAME_IDS = ("identity", "second")
_SEED = 30_000_000  # of the stories; the first seed of their pictures' noise


@dataclass(frozen=True)
class JudgedPicture:
    """Rendered frame with its masks, matches and truth.

    Attributes:
        image: RGB, uint8 of shape (height, width, 3).
        prompt: its prompt.
        mask: the foreground mask, bool of shape (rows, columns).
        raw: the mask before its cleanup.
        matches: with the identity frame, by the pass that found them; empty for that frame.
        truth: of the picture's tokens, as the judge reads it.
    """

    image: NDArray[np.uint8]
    prompt: Prompt
    mask: BoolGrid
    raw: BoolGrid
    matches: dict[Phase, TokenMatches]
    truth: TokenTruth


@dataclass(frozen=True)
class RenderedStory:
    """Identity frame and another frame of the same character."""

    identity: JudgedPicture
    second: JudgedPicture

    @property
    def pictures(self) -> tuple[JudgedPicture, JudgedPicture]:
        """Both, in order."""
        return self.identity, self.second


def story_prompts(number: int) -> tuple[Prompt, Prompt]:
    """Write the prompts of a story: one description of the character, two places, two actions."""
    rng = np.random.default_rng((_SEED, number))
    first = sample_spec(rng, WORLD)
    elsewhere = tuple(place for place in WORLD.places if place != first.place)
    other = sample_spec(rng, replace(WORLD, places=elsewhere))
    figure = replace(other.figures[0], character=first.figures[0].character)
    here = write_prompt(first, rng, wordings="held_out")
    there = write_prompt(replace(other, figures=(figure,)), rng, wordings="held_out")
    return (
        Prompt(here.background, here.character, here.action),
        Prompt(there.background, here.character, there.action),
    )


def story_request(spec: ModelSpec, number: int) -> RenderRequest:
    """Make the request of a story with the model's own settings."""
    frames = tuple(
        FrameRequest(
            frame_id=name,
            prompt=prompt,
            seed=_SEED + 2 * number + index,
            width=spec.width,
            height=spec.height,
            identity_from=FRAME_IDS[0] if index else None,
        )
        for index, (name, prompt) in enumerate(zip(FRAME_IDS, story_prompts(number), strict=True))
    )
    return own_request(spec, frames)


def render_story(
    pipeline: FluxStoryboardPipeline, request: RenderRequest, judge: Judge, text_tokens: int
) -> RenderedStory:
    """Render a request of `story_request` and read the pictures."""
    done: dict[str, FrameDone] = {}
    found: dict[tuple[str, Phase], MaskFound] = {}
    for event in pipeline.stream(request, RenderContext(max_sequence_length=text_tokens)):
        if isinstance(event, MaskFound):
            found[event.frame_id, event.phase] = event
        elif isinstance(event, FrameDone):
            done[event.frame_id] = event
    images = np.stack([np.asarray(done[frame.frame_id].image) for frame in request.frames])
    reading = judge.read(images)
    pictures = []
    for image, frame, foreground, parts in zip(
        images, request.frames, reading.foreground.numpy(), reading.parts.numpy(), strict=True
    ):
        last = found[frame.frame_id, "render"]
        passes = {phase: event for (of, phase), event in found.items() if of == frame.frame_id}
        matches = {p: e.matches for p, e in passes.items() if e.matches is not None}
        truth = token_truth(foreground, parts, last.mask.shape)
        pictures.append(JudgedPicture(image, frame.prompt, last.mask, last.raw, matches, truth))
    return RenderedStory(*pictures)
