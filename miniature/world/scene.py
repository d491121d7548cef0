"""Scenes: drawn pictures with their labels and prompts."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.canvas import Canvas
from miniature.world.figure.figure import draw_figures
from miniature.world.place.places import draw_place
from miniature.world.prompts import ScenePrompt, Wordings, write_prompt
from miniature.world.spec import WHOLE, SceneSpec, WorldRange, sample_spec

_DRAWING, _WORDING, _CHOOSING = 0, 1, 2  # separate random streams: words do not change the picture


@dataclass(frozen=True)
class Scene:
    """Drawn picture with its labels, specification and prompt.

    Attributes:
        image: RGB picture, uint8 of shape (height, width, 3).
        parts: a `vocabulary.Part` for each pixel, uint8 of shape (height, width).
        owners: figure of each pixel: 0 none, 1 the first, 2 the second; uint8 of shape (height,
            width).
        spec: specification of the picture.
        prompt: prompt in three parts.
    """

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    spec: SceneSpec
    prompt: ScenePrompt

    @property
    def foreground(self) -> NDArray[np.bool_]:
        """Pixels of all figures, bool of shape (height, width)."""
        return self.owners > 0

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Return the pixels of a figure, bool of shape (height, width).

        Args:
            number: number of the figure, from 1.

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
        seed: seed of everything that the specification leaves open, from 0 up.
        spec: specification; None draws a random scene.
        world: range of random scenes.
        shape: shape of a random scene, a name of `vocabulary.SHAPES`.
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
    """Write the prompt of a scene with this seed; variant 0 is the one of `draw_scene`."""
    return write_prompt(spec, np.random.default_rng((seed, _WORDING, variant)), wordings)


def same_character_elsewhere(scene: Scene, seed: int) -> Scene:
    """Draw the first figure's character alone, in another place and with a random action.

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
