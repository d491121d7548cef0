"""Scenes: a picture with everything that is true of it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.miniature.world.canvas import Canvas
from pipelines.miniature.world.figure import draw_figure
from pipelines.miniature.world.places import draw_place
from pipelines.miniature.world.prompts import Prompt, write_prompt
from pipelines.miniature.world.spec import SceneSpec, sample_spec
from pipelines.miniature.world.vocabulary import Part

_DRAWING, _WORDING = 0, 1  # separate streams of chance, so that words never move a line


@dataclass(frozen=True)
class Scene:
    """One drawn picture and the truth about it.

    Attributes:
        image: RGB picture, uint8 of shape (256, 256, 3).
        parts: a `vocabulary.Part` for each pixel, uint8 of shape (256, 256).
        spec: what the picture was drawn from.
        prompt: a description of it in three parts.
    """

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    spec: SceneSpec
    prompt: Prompt

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """The character's pixels, of shape (256, 256)."""
        return self.parts != Part.BACKGROUND


def draw_scene(seed: int, spec: SceneSpec | None = None) -> Scene:
    """Draw a scene; equal arguments give equal scenes.

    Args:
        seed: decides everything that the specification leaves open, from 0 up.
        spec: what to draw; None draws a random scene.
    """
    rng = np.random.default_rng((seed, _DRAWING))
    sampled = sample_spec(rng)
    spec = sampled if spec is None else spec
    canvas = Canvas()
    draw_place(canvas, spec.place, rng)
    if spec.character is not None:
        draw_figure(canvas, spec, rng)
    return Scene(canvas.picture(), canvas.parts, spec, prompt_for(spec, seed))


def prompt_for(spec: SceneSpec, seed: int, variant: int = 0) -> Prompt:
    """One of the endlessly many prompts for a scene.

    Args:
        spec: the scene.
        seed: the scene's seed.
        variant: which wording; 0 is the one that `draw_scene` gives.
    """
    return write_prompt(spec, np.random.default_rng((seed, _WORDING, variant)))


def same_character_elsewhere(scene: Scene, seed: int) -> Scene:
    """Draw the character of a scene in another place, doing something else.

    Args:
        scene: a scene with somebody in it.
        seed: decides where and what.

    Raises:
        ValueError: if nobody is in the scene.
    """
    if scene.spec.character is None:
        raise ValueError(f"nobody is in the scene in {scene.spec.place!r}")
    other = sample_spec(np.random.default_rng((seed, _DRAWING)), empty_share=0.0)
    return draw_scene(seed, replace(other, character=scene.spec.character))


def use_one_drawing_thread() -> None:
    """Keep OpenCV from starting threads; for processes that draw side by side."""
    cv2.setNumThreads(1)
