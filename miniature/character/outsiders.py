"""Generated pictures that are not of the drawn world, to measure the bounds of familiarity.

Nothing is trained on them. Some have the outline of a figure of the world, so that the outline
alone is not enough to recognise them.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.character.references import DrawnReference, cut_out
from miniature.world import vocabulary as v
from miniature.world.scene import draw_scene
from miniature.world.spec import SceneSpec, choose

Picture = NDArray[np.uint8]
_SIDE = 256
_WHITE = 255
_STREAM = 15
_LETTERS = "ABCDEFGHKLMNOPRSTUVWXYZ23456789"


def _noise(rng: np.random.Generator) -> Picture:
    """Draw grains of one to sixteen pixels."""
    count = _SIDE // int(2 ** rng.integers(0, 5))
    grains = rng.integers(0, 256, (count, count, 3), np.uint8)
    return np.asarray(cv2.resize(grains, (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST))


def _gradient(rng: np.random.Generator) -> Picture:
    """Draw a gradient between two colours."""
    first, last = rng.uniform(0, 255, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)
    along = (rows * np.sin(angle) + columns * np.cos(angle) + 1) / 2
    return np.asarray((first + along[..., None] * (last - first)).clip(0, 255), np.uint8)


def _photograph(rng: np.random.Generator) -> Picture:
    """Draw textures like a photograph's: power falls with frequency, and there are edges."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.rfftfreq(_SIDE), indexing="ij"))
    falling = 1 / np.maximum(frequency, 1 / _SIDE) ** rng.uniform(0.8, 1.4)
    layers = []
    for _ in range(2):
        spectrum = np.fft.rfft2(rng.normal(size=(3, _SIDE, _SIDE)), axes=(1, 2)) * falling
        field = np.fft.irfft2(spectrum, (_SIDE, _SIDE), axes=(1, 2)).transpose(1, 2, 0)
        shared = field.mean(-1, keepdims=True)
        field = shared + rng.uniform(0.1, 0.4) * (field - shared)
        tint = rng.uniform(60, 190) + rng.normal(0, 20, 3)
        layers.append(field / field.std() * 45 + tint)
    picture = np.where(layers[0][..., :1] > layers[0].mean(), layers[0], layers[1])
    return np.asarray(picture.clip(0, 255), np.uint8)


def _doodle(rng: np.random.Generator) -> Picture:
    """Draw random pen lines and shapes on white paper."""
    picture = np.full((_SIDE, _SIDE, 3), _WHITE, np.uint8)
    for _ in range(int(rng.integers(8, 25))):
        points = rng.integers(0, _SIDE, (int(rng.integers(2, 6)), 1, 2))
        color = tuple(int(level) for level in rng.integers(0, 200, 3))
        if rng.random() < 0.3:
            cv2.fillPoly(picture, [points], color)
        else:
            cv2.polylines(picture, [points], False, color, int(rng.integers(1, 6)), cv2.LINE_AA)
    return picture


def _letters(rng: np.random.Generator) -> Picture:
    """Draw lines of text on white paper."""
    picture = np.full((_SIDE, _SIDE, 3), _WHITE, np.uint8)
    size = float(rng.uniform(0.5, 2.0))
    color = tuple(int(level) for level in rng.integers(0, 120, 3))
    for y in range(int(24 * size), _SIDE, int(34 * size)):
        text = "".join(rng.choice(list(_LETTERS), 20))
        cv2.putText(picture, text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 2, cv2.LINE_AA)
    return picture


def _place(rng: np.random.Generator) -> Picture:
    """Draw a place of the drawn world with nobody in it."""
    return draw_scene(int(rng.integers(2**31)), SceneSpec(choose(rng, v.PLACES))).image


def _negative(figure: DrawnReference, rng: np.random.Generator) -> Picture:
    """Invert the colours of a figure of the world."""
    inside = figure.parts[..., None] > 0
    return np.asarray(np.where(inside, _WHITE - figure.picture, figure.picture), np.uint8)


def _sketch(figure: DrawnReference, rng: np.random.Generator) -> Picture:
    """Draw the edges of a figure of the world."""
    gray = cv2.cvtColor(figure.picture, cv2.COLOR_RGB2GRAY)
    edges = cv2.Canny(cv2.GaussianBlur(gray, (0, 0), 1.0), 40, 90)
    return np.asarray(cv2.cvtColor(_WHITE - edges, cv2.COLOR_GRAY2RGB), np.uint8)


def _filled(make: Callable[[np.random.Generator], Picture]) -> "Maker":
    """Make a figure's outline filled with a texture."""

    def fill(figure: DrawnReference, rng: np.random.Generator) -> Picture:
        side = figure.parts.shape[0]
        texture = cv2.resize(make(rng), (side, side), interpolation=cv2.INTER_AREA)
        inside = figure.parts[..., None] > 0
        return np.asarray(np.where(inside, texture, _WHITE), np.uint8)

    return fill


def _whole(make: Callable[[np.random.Generator], Picture]) -> "Maker":
    """Make a picture that does not depend on the figure."""
    return lambda figure, rng: make(rng)


Maker = Callable[[DrawnReference, np.random.Generator], Picture]

KINDS: dict[str, Maker] = {
    "noise": _whole(_noise),
    "gradient": _whole(_gradient),
    "photograph": _whole(_photograph),
    "doodle": _whole(_doodle),
    "letters": _whole(_letters),
    "place": _whole(_place),
    "figure of noise": _filled(_noise),
    "figure of a gradient": _filled(_gradient),
    "figure of a photograph": _filled(_photograph),
    "figure of a place": _filled(_place),
    "negative": _negative,
    "sketch": _sketch,
}


def draw_outsider(kind: str, number: int, image: Picture, parts: Picture) -> Picture:
    """Draw an outsider.

    Args:
        kind: a name of KINDS.
        number: seed of the outsider.
        image: a picture of the drawn world with a figure, uint8 of shape (h, w, 3).
        parts: its part labels, uint8 of shape (h, w).

    Returns:
        RGB, uint8 of shape (side, side, 3).
    """
    rng = np.random.default_rng((_STREAM, list(KINDS).index(kind), number))
    return KINDS[kind](cut_out(image, parts), rng)
