"""InstantCharacter for the miniature, trained on characters of the drawn world.

The classes are those of `pipelines.instant_character`, at a small size.
"""
