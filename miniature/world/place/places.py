"""Places of the drawn world, drawn behind the figures.

Each place fills the whole canvas with broad, flat shapes. What varies from picture to picture (the
colour of a wall, the side of a bed) has few values, so that a small model can render it sharply.
The middle stays calm, and people stand on the canvas's ground line.
"""

from collections.abc import Callable

import numpy as np

from miniature.world.canvas import Canvas
from miniature.world.place import elsewhere, indoors, nature, settlements
from miniature.world.place.setting import Setting
from miniature.world.place.sky import draw_weather
from miniature.world.spec import SceneSpec

_DRAWINGS: dict[str, Callable[[Setting], None]] = {
    "beach": nature.draw_beach,
    "forest": nature.draw_forest,
    "city": settlements.draw_city,
    "bedroom": indoors.draw_bedroom,
    "office": indoors.draw_office,
    "mountain": nature.draw_mountain,
    "desert": nature.draw_desert,
    "hill": nature.draw_hill,
    "park": nature.draw_park,
    "library": indoors.draw_library,
    "space": elsewhere.draw_space,
    "underwater": elsewhere.draw_underwater,
    "kitchen": indoors.draw_kitchen,
    "field": nature.draw_field,
    "castle": settlements.draw_castle,
    "farm": settlements.draw_farm,
    "classroom": indoors.draw_classroom,
    "cafe": indoors.draw_cafe,
    "harbor": settlements.draw_harbor,
    "cave": elsewhere.draw_cave,
    "playground": settlements.draw_playground,
    "living room": indoors.draw_living_room,
    "stage": indoors.draw_stage,
    "volcano": elsewhere.draw_volcano,
}


def draw_place(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator) -> None:
    """Cover a canvas of the scene's size with its place, at its time of day and in its weather."""
    setting = Setting(canvas, rng, spec.time, spec.weather)
    _DRAWINGS[spec.place](setting)
    if rng.random() < 0.5:
        canvas.mirror()
    draw_weather(setting)
