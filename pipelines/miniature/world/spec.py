"""What a scene shows, as data: who, in which clothes, where, doing what, seen how."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.miniature.world import vocabulary as v

_COMMON_TOPS = ("t-shirt", "hoodie", "sweater", "jacket", "coat")


@dataclass(frozen=True)
class Character:
    """A person of the drawn world; every field is a name from `vocabulary`."""

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
    accessory: str

    def __post_init__(self) -> None:
        for value, allowed in (
            (self.kind, v.KINDS),
            (self.skin, v.SKIN_COLORS),
            (self.hair_style, v.HAIR_STYLES),
            (self.hair_color, v.HAIR_COLORS),
            (self.top, v.TOPS),
            (self.top_color, v.CLOTH_COLORS),
            (self.pattern, v.PATTERNS),
            (self.bottom, v.BOTTOMS),
            (self.bottom_color, v.CLOTH_COLORS),
            (self.shoes, v.SHOE_COLORS),
            (self.accessory, v.ACCESSORIES),
        ):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")

    @property
    def is_child(self) -> bool:
        """Whether the body has a child's proportions."""
        return self.kind in v.CHILDREN

    @property
    def is_male(self) -> bool:
        """Whether the character is a boy or a man."""
        return self.kind in ("boy", "man")


@dataclass(frozen=True)
class SceneSpec:
    """All that a picture is drawn from, but for the small shifts that the seed decides.

    Attributes:
        place: a name of `vocabulary.PLACES`.
        character: who is there; None for an empty place.
        action: a name of `vocabulary.ACTIONS`.
        position: a name of `vocabulary.POSITIONS`.
        shot: a name of `vocabulary.SHOTS`.
        from_behind: whether the character's back is seen.
    """

    place: str
    character: Character | None
    action: str = "standing"
    position: str = "center"
    shot: str = "full"
    from_behind: bool = False

    def __post_init__(self) -> None:
        for value, allowed in (
            (self.place, v.PLACES),
            (self.action, v.ACTIONS),
            (self.position, v.POSITIONS),
            (self.shot, v.SHOTS),
        ):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SceneSpec":
        """The specification that `to_dict` gave these values for."""
        person = values["character"]
        return cls(**{**values, "character": None if person is None else Character(**person)})


def choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def sample_character(rng: np.random.Generator) -> Character:
    """A random person."""
    kind = choose(rng, v.KINDS)
    male = kind in ("boy", "man")
    styles = ("short", "spiky", "curly") if male and rng.random() < 0.8 else v.HAIR_STYLES
    beard = ("beard", "beard") if kind == "man" else ()
    return Character(
        kind=kind,
        skin=choose(rng, tuple(v.SKIN_COLORS)),
        hair_style=choose(rng, styles),
        hair_color=choose(rng, tuple(v.HAIR_COLORS)),
        top=choose(rng, _COMMON_TOPS if male else (*v.TOPS, "dress")),
        top_color=choose(rng, tuple(v.CLOTH_COLORS)),
        pattern=choose(rng, ("plain", "plain", "plain", "plain", "striped", "dotted")),
        bottom=choose(rng, v.BOTTOMS[:2] if male else v.BOTTOMS),
        bottom_color=choose(rng, tuple(v.CLOTH_COLORS)),
        shoes=choose(rng, tuple(v.SHOE_COLORS)),
        accessory=choose(
            rng, ("none", "none", "none", "glasses", "hat", "scarf", "backpack", *beard)
        ),
    )


def sample_spec(rng: np.random.Generator, empty_share: float = 0.03) -> SceneSpec:
    """A random scene.

    Args:
        rng: source of chance.
        empty_share: how often nobody is there, in [0, 1].
    """
    place = choose(rng, v.PLACES)
    if rng.random() < empty_share:
        return SceneSpec(place, None)
    action = choose(rng, v.ACTIONS)
    shot = choose(rng, ("full", "full", "full", "full", "full", "full", "wide", "close"))
    return SceneSpec(
        place=place,
        character=sample_character(rng),
        action=action,
        position=choose(rng, ("center", "center", "left", "right")),
        shot="full" if action == "lying" else shot,
        from_behind=action in ("standing", "walking") and bool(rng.random() < 0.12),
    )
