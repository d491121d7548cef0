"""The places of the drawn world, painted behind the figures.

Each painter fills the whole canvas with broad, flat shapes: what repeats from picture to
picture (which wall, which side the bed stands on) is few and discrete, so that a small model
can paint it sharply. The middle stays calm, and people stand on the canvas's ground line.
"""

from collections.abc import Callable

import numpy as np

from miniature.world.canvas import Canvas
from miniature.world.place import elsewhere, indoors, nature, settlements
from miniature.world.place.setting import Setting
from miniature.world.place.sky import paint_weather
from miniature.world.spec import SceneSpec

_PAINTERS: dict[str, Callable[[Setting], None]] = {
    "beach": nature.paint_beach,
    "forest": nature.paint_forest,
    "city": settlements.paint_city,
    "bedroom": indoors.paint_bedroom,
    "office": indoors.paint_office,
    "mountain": nature.paint_mountain,
    "desert": nature.paint_desert,
    "hill": nature.paint_hill,
    "park": nature.paint_park,
    "library": indoors.paint_library,
    "space": elsewhere.paint_space,
    "underwater": elsewhere.paint_underwater,
    "kitchen": indoors.paint_kitchen,
    "field": nature.paint_field,
    "castle": settlements.paint_castle,
    "farm": settlements.paint_farm,
    "classroom": indoors.paint_classroom,
    "cafe": indoors.paint_cafe,
    "harbor": settlements.paint_harbor,
    "cave": elsewhere.paint_cave,
    "playground": settlements.paint_playground,
    "living room": indoors.paint_living_room,
    "stage": indoors.paint_stage,
    "volcano": elsewhere.paint_volcano,
}


def draw_place(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator) -> None:
    """Fill a canvas with a scene's place, at its time of day and in its weather.

    Args:
        canvas: what to paint on, of the scene's size; everything on it is covered.
        spec: the scene.
        rng: chooses colours, small shifts and the side.
    """
    setting = Setting(canvas, rng, spec.time, spec.weather)
    _PAINTERS[spec.place](setting)
    if rng.random() < 0.5:
        canvas.mirror()
    paint_weather(setting)
