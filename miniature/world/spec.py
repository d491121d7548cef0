"""Specification of a scene: place, light, shot, figures, and their characters."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from miniature.world import vocabulary as v

_COMMON_TOPS = ("t-shirt", "hoodie", "sweater", "jacket", "coat")


def body_colors(kind: str) -> tuple[str, ...]:
    """Return the colours that skin, fur or metal of a kind of character can have."""
    if kind in v.ANIMALS:
        return tuple(v.FUR_COLORS)
    return tuple(v.METAL_COLORS) if kind == "robot" else tuple(v.SKIN_COLORS)


def _check(*choices: tuple[str, tuple[str, ...]]) -> None:
    for value, allowed in choices:
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")


@dataclass(frozen=True)
class Character:
    """Character of the drawn world; every field is a name from `vocabulary`.

    Attributes:
        kind: a person, an animal or a robot.
        skin: colour of skin, fur or metal.
        hair_style, hair_color: of people; "none" for all others.
        top, top_color, pattern: the top.
        bottom, bottom_color: the bottom; a dress covers it.
        shoes: their colour.
        headwear: the headwear, or "none".
        accessory: the accessory, or "none"; only men have beards.
    """

    kind: str
    skin: str
    hair_style: str
    hair_color: str
    top: str
    top_color: str
    pattern: str
    bottom: str
    bottom_color: str
    shoes: str
    headwear: str
    accessory: str

    def __post_init__(self) -> None:
        person = self.kind in v.PEOPLE
        _check(
            (self.kind, v.KINDS),
            (self.skin, body_colors(self.kind)),
            (self.hair_style, v.HAIR_STYLES if person else ("none",)),
            (self.hair_color, tuple(v.HAIR_COLORS) if person else ("none",)),
            (self.top, v.TOPS),
            (self.top_color, tuple(v.CLOTH_COLORS)),
            (self.pattern, v.PATTERNS),
            (self.bottom, v.BOTTOMS),
            (self.bottom_color, tuple(v.CLOTH_COLORS)),
            (self.shoes, tuple(v.SHOE_COLORS)),
            (self.headwear, v.HEADWEAR),
            (self.accessory, v.ACCESSORIES),
        )

    @property
    def is_person(self) -> bool:
        """Return whether the character is neither an animal nor a robot."""
        return self.kind in v.PEOPLE

    @property
    def is_child(self) -> bool:
        """Return whether the body has a child's proportions; animals and robots do."""
        return self.kind not in ("woman", "man")

    @property
    def is_male(self) -> bool:
        """Return whether the character is a boy or a man."""
        return self.kind in ("boy", "man")


@dataclass(frozen=True)
class Figure:
    """Character in a scene.

    Attributes:
        character: the character.
        action: a name of `vocabulary.ACTIONS`.
        position: a name of `vocabulary.POSITIONS`.
        view: a name of `vocabulary.VIEWS`; "side" exactly for the actions that are drawn from the
            side.
        facing: a name of `vocabulary.FACINGS`: the side that a figure in profile faces, the side of
            a raised arm, or the side of a lying figure's head.
    """

    character: Character
    action: str = "standing"
    position: str = "center"
    view: str = "front"
    facing: str = "right"

    def __post_init__(self) -> None:
        _check(
            (self.action, v.ACTIONS),
            (self.position, v.POSITIONS),
            (self.view, views_of(self.action)),
            (self.facing, v.FACINGS),
        )


@dataclass(frozen=True)
class SceneSpec:
    """Specification of a picture, but for the small shifts, which depend on the seed.

    Attributes:
        place: a name of `vocabulary.PLACES`.
        time, weather: names of `vocabulary.TIMES` and `vocabulary.WEATHERS`; "day" and "clear"
            for the places that are not `vocabulary.OUTDOORS`.
        figures: none, one, or two figures (the first is on the left).
        shot: a name of `vocabulary.SHOTS`.
        shape: a name of `vocabulary.SHAPES`.
    """

    place: str
    figures: tuple[Figure, ...] = ()
    shot: str = "full"
    time: str = "day"
    weather: str = "clear"
    shape: str = "square"

    def __post_init__(self) -> None:
        outdoors = self.place in v.OUTDOORS
        _check(
            (self.place, v.PLACES),
            (self.time, v.TIMES if outdoors else ("day",)),
            (self.weather, v.WEATHERS if outdoors else ("clear",)),
            (self.shot, v.SHOTS),
            (self.shape, tuple(v.SHAPES)),
        )
        if len(self.figures) > 2:
            raise ValueError(f"{len(self.figures)} figures in a scene; there can be two")
        if len(self.figures) == 2 and [f.position for f in self.figures] != ["left", "right"]:
            raise ValueError("of two figures the first is on the left, the second on the right")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return v.SHAPES[self.shape]

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SceneSpec":
        """Return the specification of the values of `to_dict`."""
        figures = tuple(
            Figure(**{**figure, "character": Character(**figure["character"])})
            for figure in values["figures"]
        )
        return cls(**{**values, "figures": figures})


def views_of(action: str) -> tuple[str, ...]:
    """Return the possible views of an action."""
    if action in v.SIDE_ACTIONS:
        return ("side",)
    if action in v.FRONT_ACTIONS:
        return ("front", "three-quarter")
    return ("front", "three-quarter", "back")


@dataclass(frozen=True)
class WorldRange:
    """Range of random scenes; a small model renders a smaller range better.

    Attributes:
        kinds, places, actions, shots, patterns, headwear, accessories: names of `vocabulary`,
            repeated if they are to be more frequent.
        three_quarter, back: shares of these views, of actions that have them.
        times, weathers: for places outdoors.
        empty_share: share of scenes without figures, in [0, 1].
        pair_share: share of scenes with two figures, in [0, 1].
    """

    kinds: tuple[str, ...] = (*v.PEOPLE, *v.PEOPLE, *v.ANIMALS, "robot")
    places: tuple[str, ...] = v.PLACES
    actions: tuple[str, ...] = v.ACTIONS
    shots: tuple[str, ...] = ("full", "full", "full", "full", "full", "wide", "medium", "close")
    patterns: tuple[str, ...] = ("plain", "plain", "plain", "plain", *v.PATTERNS[1:])
    headwear: tuple[str, ...] = ("none", "none", "none", "none", *v.HEADWEAR[1:])
    accessories: tuple[str, ...] = ("none", "none", "none", *v.ACCESSORIES[1:])
    times: tuple[str, ...] = ("day", "day", *v.TIMES[1:])
    weathers: tuple[str, ...] = ("clear",) * 5 + v.WEATHERS[1:]
    three_quarter: float = 0.25
    back: float = 0.12
    empty_share: float = 0.03
    pair_share: float = 0.12


WHOLE = WorldRange()


def choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """Return one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def sample_character(rng: np.random.Generator, world: WorldRange = WHOLE) -> Character:
    """Sample a person, animal or robot."""
    kind = choose(rng, world.kinds)
    person, male = kind in v.PEOPLE, kind in ("boy", "man")
    styles = ("short", "spiky", "curly") if male and rng.random() < 0.8 else v.HAIR_STYLES
    accessory = choose(rng, world.accessories)
    if accessory == "beard" and kind != "man":
        accessory = "none"
    return Character(
        kind=kind,
        skin=choose(rng, body_colors(kind)),
        hair_style=choose(rng, styles) if person else "none",
        hair_color=choose(rng, tuple(v.HAIR_COLORS)) if person else "none",
        top=choose(rng, _COMMON_TOPS if male else (*v.TOPS, "dress")),
        top_color=choose(rng, tuple(v.CLOTH_COLORS)),
        pattern=choose(rng, world.patterns),
        bottom=choose(rng, v.BOTTOMS[:2] if male else v.BOTTOMS),
        bottom_color=choose(rng, tuple(v.CLOTH_COLORS)),
        shoes=choose(rng, tuple(v.SHOE_COLORS)),
        headwear=choose(rng, world.headwear),
        accessory=accessory,
    )


def sample_figure(
    rng: np.random.Generator, world: WorldRange, position: str, *, roomy: bool
) -> Figure:
    """Sample a character with an action, with or without the room to lie down or to ride."""
    actions = world.actions
    if not roomy:
        actions = tuple(action for action in actions if action not in v.WIDE_ACTIONS)
    action = choose(rng, actions)
    views, turn = views_of(action), rng.random()
    view = views[0]
    if "three-quarter" in views and turn < world.three_quarter:
        view = "three-quarter"
    elif "back" in views and turn > 1 - world.back:
        view = "back"
    return Figure(sample_character(rng, world), action, position, view, choose(rng, v.FACINGS))


def sample_spec(
    rng: np.random.Generator, world: WorldRange = WHOLE, shape: str = "square"
) -> SceneSpec:
    """Sample a scene for a shape of picture, a name of `vocabulary.SHAPES`."""
    place, count = choose(rng, world.places), rng.random()
    shot = choose(rng, world.shots)
    figures: tuple[Figure, ...] = ()
    if count > 1 - world.pair_share:
        shot = "wide" if shot == "wide" else "full"
        left, right = (sample_figure(rng, world, side, roomy=False) for side in ("left", "right"))
        figures = (left, right)
    elif count >= world.empty_share:
        position = choose(rng, ("center", "center", "left", "right"))
        figure = sample_figure(rng, world, position, roomy=True)
        cut_off = shot in ("medium", "close") and figure.action in v.WIDE_ACTIONS
        if cut_off or (shot == "close" and figure.view == "back"):
            shot = "full"
        figures = (figure,)
    outdoors = place in v.OUTDOORS
    return SceneSpec(
        place=place,
        figures=figures,
        shot=shot if figures else "full",
        time=choose(rng, world.times) if outdoors else "day",
        weather=choose(rng, world.weathers) if outdoors else "clear",
        shape=shape,
    )
