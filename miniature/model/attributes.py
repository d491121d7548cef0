"""Attributes that a prompt can state, as labels that the text encoders learn.

Knows the drawn world, and nothing of tensors.
"""

from miniature.world.attributes import CHARACTER, FIGURE, SCENE, Values
from miniature.world.prompts import ScenePrompt
from miniature.world.spec import Figure, SceneSpec

UNSAID = -100  # label that cross_entropy ignores

SCENE_ATTRIBUTES: Values = {**SCENE, "figures": ("0", "1", "2")}
FIGURE_ATTRIBUTES: Values = {**FIGURE, **CHARACTER}
ATTRIBUTES: Values = {
    **SCENE_ATTRIBUTES,
    **FIGURE_ATTRIBUTES,
    **{f"second_{name}": options for name, options in FIGURE_ATTRIBUTES.items()},
}


def stated_attributes(spec: SceneSpec, prompt: ScenePrompt) -> list[int]:
    """Return the index of each attribute's value, or UNSAID where the prompt does not state it."""
    labels = [
        options.index(str(len(spec.figures)) if name == "figures" else getattr(spec, name))
        for name, options in SCENE_ATTRIBUTES.items()
    ]
    for number, hidden in enumerate((prompt.hidden, prompt.hidden_second)):
        figure = spec.figures[number] if number < len(spec.figures) else None
        labels += _figure_labels(figure, hidden)
    return labels


def _figure_labels(figure: Figure | None, hidden: frozenset[str]) -> list[int]:
    """Return a figure's labels; UNSAID also where it has no such attribute (animals: hair)."""
    if figure is None:
        return [UNSAID] * len(FIGURE_ATTRIBUTES)
    labels = []
    for name, options in FIGURE_ATTRIBUTES.items():
        value = getattr(figure if hasattr(figure, name) else figure.character, name)
        labels.append(UNSAID if name in hidden or value not in options else options.index(value))
    return labels
