"""Attributes of the drawn world and their values: the one table that networks learn from."""

from miniature.world import vocabulary as v

Values = dict[str, tuple[str, ...]]

SCENE: Values = {
    "place": v.PLACES,
    "time": v.TIMES,
    "weather": v.WEATHERS,
    "shot": v.SHOTS,
}
FIGURE: Values = {
    "action": v.ACTIONS,
    "position": v.POSITIONS,
    "view": v.VIEWS,
    "facing": v.FACINGS,
}
CHARACTER: Values = {
    "kind": v.KINDS,
    "skin": tuple(dict.fromkeys((*v.SKIN_COLORS, *v.FUR_COLORS, *v.METAL_COLORS))),
    "hair_style": v.HAIR_STYLES,
    "hair_color": tuple(v.HAIR_COLORS),
    "top": v.TOPS,
    "top_color": tuple(v.CLOTH_COLORS),
    "pattern": v.PATTERNS,
    "bottom": v.BOTTOMS,
    "bottom_color": tuple(v.CLOTH_COLORS),
    "headwear": v.HEADWEAR,
    "accessory": v.ACCESSORIES,
}
"""Attributes that prompts can state of a character. Animals and robots have no hair: their
`hair_style` and `hair_color` are "none", which is no value here."""
