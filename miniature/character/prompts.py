"""Prompts for pictures with a reference; most leave out the looks that the reference shows."""

from dataclasses import replace

import numpy as np

from miniature.world.prompts import ScenePrompt, write_prompt
from miniature.world.spec import SceneSpec

_STREAM = 10
_USUAL, _BRIEF, _NAMELESS = 0.2, 0.3, 0.1  # shares of prompts; the others say the kind alone


def prompt_beside_reference(spec: SceneSpec, seed: int, variant: int = 0) -> ScenePrompt:
    """Write a prompt for a scene whose character is known from a reference.

    A fifth of the prompts is as usual, three in ten leave out most of the character, one in ten all
    of it (as of a user who gives a picture instead of a description). The others state the kind
    only, such as "a girl".

    Args:
        spec: the scene, with one figure.
        seed: seed of the scene.
        variant: number of the wording; 0 always states the kind only.
    """
    rng = np.random.default_rng((seed, _STREAM, variant))
    draw = rng.random() if variant else 1.0
    if draw < _USUAL:
        return write_prompt(spec, rng)
    if draw < _USUAL + _BRIEF:
        return write_prompt(spec, rng, brevity=0.6)
    prompt = write_prompt(spec, rng, brevity=1.0)
    goes_on = prompt.action.split(" ")[0].endswith("ing")  # "on a beach, waving"
    if draw < _USUAL + _BRIEF + _NAMELESS and goes_on and prompt.background.endswith(","):
        return replace(prompt, character="", hidden=prompt.hidden | {"kind"}, marks=())
    return prompt
