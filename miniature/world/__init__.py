"""The drawn world: cartoon scenes with their prompts, masks, parts and attributes.

`draw_scene(seed)` gives a picture and the truth about it. Knows nothing of tensors or models.
"""
