"""The drawn world: cartoon scenes with their prompts, masks, parts and attributes.

`draw_scene(seed)` gives a picture and the truth about it. Knows nothing of tensors or models.
"""

from pipelines.miniature.world.prompts import Prompt, write_prompt
from pipelines.miniature.world.scene import (
    Scene,
    draw_scene,
    prompt_for,
    same_character_elsewhere,
    use_one_drawing_thread,
)
from pipelines.miniature.world.spec import (
    WHOLE,
    Character,
    Figure,
    SceneSpec,
    WorldRange,
    sample_character,
    sample_spec,
)
from pipelines.miniature.world.vocabulary import Part

__all__ = [
    "WHOLE",
    "Character",
    "Figure",
    "Part",
    "Prompt",
    "Scene",
    "SceneSpec",
    "WorldRange",
    "draw_scene",
    "prompt_for",
    "same_character_elsewhere",
    "sample_character",
    "sample_spec",
    "use_one_drawing_thread",
    "write_prompt",
]
