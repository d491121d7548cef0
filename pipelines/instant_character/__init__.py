"""InstantCharacter: a character from one picture, in every attention of a FLUX transformer.

A picture's features (`encoders`) become subject tokens (`projector`, `resampler`), and every
attention looks at them through its own adapter (`adapters`). A `Subject` is what an attention
processor asks.
"""
