"""Attributes that the judge reads: their values, and the rules of which are visible.

`visible_attributes` applies the same rules to drawn and to predicted labels and values.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from miniature.world import vocabulary as v
from miniature.world.attributes import CHARACTER, FIGURE, SCENE, Values
from miniature.world.spec import SceneSpec
from miniature.world.vocabulary import Part

SCENE_VALUES: Values = {name: SCENE[name] for name in ("place", "time", "weather")}
LOOK_VALUES: Values = {
    name: (*values, "none") if name in ("hair_style", "hair_color") else values
    for name, values in CHARACTER.items()
}
FIGURE_VALUES: Values = {"shot": SCENE["shot"], **LOOK_VALUES, **FIGURE}
SMALLEST_SHARE = 0.003  # of a picture's pixels; smaller figures are not judged
_SMALLEST_THING = 0.0005  # the same for glasses and other things that are small by nature
_SMALLEST_CLOTH = 0.04  # of a figure's pixels; less of a top does not show its kind

_HEAD = (Part.FACE, Part.HAIR, Part.HAT, Part.EAR)
_LEGS = (Part.LEFT_THIGH, Part.LEFT_SHIN, Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.SKIRT)
_SEEN_ON: dict[str, tuple[Part, ...]] = {
    "kind": _HEAD,
    "skin": (Part.FACE, Part.NECK, Part.HAND, Part.EAR, Part.TAIL),
    "hair_style": (Part.HAIR,),
    "hair_color": (Part.HAIR,),
    "top": (Part.TORSO,),
    "top_color": (Part.TORSO,),
    "pattern": (Part.TORSO,),
    "bottom": _LEGS,
    "bottom_color": _LEGS,
    "headwear": _HEAD,
    "accessory": (*_HEAD, Part.TORSO),
    "action": (Part.LEFT_SHIN, Part.RIGHT_SHIN, Part.SHOE),
    "view": _HEAD,
}
_THINGS: dict[str, dict[str, Part]] = {
    "headwear": {name: Part.HAT for name in v.HEADWEAR if name != "none"},
    "accessory": {
        "glasses": Part.GLASSES,
        "scarf": Part.SCARF,
        "backpack": Part.BACKPACK,
        "bag": Part.BAG,
        "beard": Part.BEARD,
    },
}
_TURNED_VIEWS = ("three-quarter", "side")
_ONE_SIDED_ACTIONS = ("lying", "waving", "pointing", "umbrella")


def true_attributes(spec: SceneSpec, figure: int) -> dict[str, str]:
    """Return the true values of a scene's attributes and of one of its figures.

    Args:
        spec: specification of the picture.
        figure: index of the figure, 0 or 1; without such a figure only the scene's attributes are
            returned.
    """
    values = {"place": spec.place, "time": spec.time, "weather": spec.weather}
    if figure >= len(spec.figures):
        return values
    drawn = asdict(spec.figures[figure])
    known = {**drawn, **drawn["character"], "shot": spec.shot}
    return values | {name: known[name] for name in FIGURE_VALUES}


def visible_attributes(values: Mapping[str, str], parts: NDArray[np.uint8]) -> frozenset[str]:
    """Return the attributes of a figure that are visible in a picture.

    An attribute is visible where the parts that show it fill at least 0.3 % of the picture; the
    trousers of a close-up do not. A top's kind and pattern also need 4 % of the figure. A dress
    hides the bottom. The facing is visible if the figure is turned or its action has a side.

    Args:
        values: the figure's attributes, true or predicted.
        parts: `vocabulary.Part` of its pixels, 0 elsewhere, shape (height, width).

    Returns:
        Names of `SCENE_VALUES`, and those of `FIGURE_VALUES` that are visible.
    """
    shares = np.bincount(parts.ravel(), minlength=len(Part)) / parts.size
    seen = set(SCENE_VALUES)
    if 1 - shares[Part.BACKGROUND] < SMALLEST_SHARE:
        return frozenset(seen)
    seen |= {"shot", "position"}
    for name, shown_by in _SEEN_ON.items():
        if shares[list(shown_by)].sum() >= SMALLEST_SHARE:
            seen.add(name)
    for name, things in _THINGS.items():
        if values[name] in things and shares[things[values[name]]] < _SMALLEST_THING:
            seen.discard(name)
    if shares[Part.TORSO] < _SMALLEST_CLOTH * (1 - shares[Part.BACKGROUND]):
        seen -= {"top", "pattern"}
    if values["kind"] not in v.PEOPLE:
        seen |= {"hair_style", "hair_color"}
    if values["top"] == "dress":
        seen -= {"bottom", "bottom_color"}
    if values["view"] in _TURNED_VIEWS or values["action"] in _ONE_SIDED_ACTIONS:
        seen.add("facing")
    return frozenset(seen)
