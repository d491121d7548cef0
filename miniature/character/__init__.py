"""What the miniature follows a reference picture with: small encoders, projector, adapters.

Their training, on characters of the drawn world; the classes are those of
`pipelines.instant_character`, at a small size.
"""
