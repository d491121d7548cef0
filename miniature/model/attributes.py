"""Attributes as the networks learn them: what can be asked about a prompt, and the true answers.

Knows the drawn world, and nothing of tensors.
"""

from miniature.world.attributes import CHARACTER, FIGURE, SCENE, Values
from miniature.world.prompts import ScenePrompt
from miniature.world.spec import Figure, SceneSpec

UNSAID = -100  # cross_entropy's mark for "do not ask"

SCENE_ATTRIBUTES: Values = {**SCENE, "figures": ("0", "1", "2")}
FIGURE_ATTRIBUTES: Values = {**FIGURE, **CHARACTER}
ATTRIBUTES: Values = {
    **SCENE_ATTRIBUTES,
    **FIGURE_ATTRIBUTES,
    **{f"second_{name}": options for name, options in FIGURE_ATTRIBUTES.items()},
}


def stated_attributes(spec: SceneSpec, prompt: ScenePrompt) -> list[int]:
    """The index of each attribute's value, or -100 where the prompt does not say it."""
    labels = [
        options.index(str(len(spec.figures)) if name == "figures" else getattr(spec, name))
        for name, options in SCENE_ATTRIBUTES.items()
    ]
    for number, hidden in enumerate((prompt.hidden, prompt.hidden_second)):
        figure = spec.figures[number] if number < len(spec.figures) else None
        labels += _figure_labels(figure, hidden)
    return labels


def _figure_labels(figure: Figure | None, hidden: frozenset[str]) -> list[int]:
    """As `stated_attributes`; -100 also for what the figure has none of: an animal has no hair."""
    if figure is None:
        return [UNSAID] * len(FIGURE_ATTRIBUTES)
    labels = []
    for name, options in FIGURE_ATTRIBUTES.items():
        value = getattr(figure if hasattr(figure, name) else figure.character, name)
        labels.append(UNSAID if name in hidden or value not in options else options.index(value))
    return labels
