"""Scenes: a picture with everything that is true of it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.canvas import Canvas
from miniature.world.figure.figure import draw_figures
from miniature.world.place.places import draw_place
from miniature.world.prompts import ScenePrompt, Wordings, write_prompt
from miniature.world.spec import WHOLE, SceneSpec, WorldRange, sample_spec

_DRAWING, _WORDING, _CHOOSING = 0, 1, 2  # separate streams of chance: words never move a line


@dataclass(frozen=True)
class Scene:
    """One drawn picture and the truth about it.

    Attributes:
        image: RGB picture, uint8 of shape (height, width, 3).
        parts: a `vocabulary.Part` for each pixel, uint8 of shape (height, width).
        owners: whose pixel it is: 0 nobody's, 1 the first figure's, 2 the second's; uint8 of
            shape (height, width).
        spec: what the picture was drawn from.
        prompt: a description of it in three parts.
    """

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    spec: SceneSpec
    prompt: ScenePrompt

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """The pixels of all figures, of shape (height, width)."""
        return self.owners > 0

    def mask(self, number: int) -> NDArray[np.bool_]:
        """The pixels of one figure, of shape (height, width).

        Args:
            number: which figure, from 1.

        Raises:
            ValueError: if the scene has no such figure.
        """
        if not 1 <= number <= len(self.spec.figures):
            raise ValueError(f"no figure {number} in a scene with {len(self.spec.figures)}")
        return self.owners == number


def draw_scene(
    seed: int,
    spec: SceneSpec | None = None,
    world: WorldRange = WHOLE,
    shape: str = "square",
) -> Scene:
    """Draw a scene; equal arguments give equal scenes.

    Args:
        seed: decides everything that the specification leaves open, from 0 up.
        spec: what to draw; None draws a random scene.
        world: what a random scene can show.
        shape: a random scene's shape, a name of `vocabulary.SHAPES`.
    """
    if spec is None:
        spec = sample_spec(np.random.default_rng((seed, _CHOOSING)), world, shape)
    rng = np.random.default_rng((seed, _DRAWING))
    canvas = Canvas(*spec.size)
    draw_place(canvas, spec, rng)
    draw_figures(canvas, spec, rng)
    return Scene(canvas.picture(), canvas.parts, canvas.owners, spec, prompt_for(spec, seed))


def prompt_for(
    spec: SceneSpec, seed: int, variant: int = 0, wordings: Wordings = "training"
) -> ScenePrompt:
    """One of the endlessly many prompts for a scene.

    Args:
        spec: the scene.
        seed: the scene's seed.
        variant: which wording; 0 is the one that `draw_scene` gives.
        wordings: which words are used, as `prompts.write_prompt` has it.
    """
    return write_prompt(spec, np.random.default_rng((seed, _WORDING, variant)), wordings)


def same_character_elsewhere(scene: Scene, seed: int) -> Scene:
    """Draw the first figure's character alone, in another place, doing something or other.

    Args:
        scene: a scene with somebody in it.
        seed: decides where and what.

    Raises:
        ValueError: if nobody is in the scene.
    """
    if not scene.spec.figures:
        raise ValueError(f"nobody is in the scene in {scene.spec.place!r}")
    places = tuple(place for place in WHOLE.places if place != scene.spec.place)
    world = replace(WHOLE, places=places, empty_share=0.0, pair_share=0.0)
    rng = np.random.default_rng((seed, _CHOOSING))
    other = sample_spec(rng, world, scene.spec.shape)
    figure = replace(other.figures[0], character=scene.spec.figures[0].character)
    return draw_scene(seed, replace(other, figures=(figure,)))


def use_one_drawing_thread() -> None:
    """Keep OpenCV from starting threads; for processes that draw side by side."""
    cv2.setNumThreads(1)
