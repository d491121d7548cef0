"""InstantCharacter: a character from one picture, in every attention of a FLUX transformer.

A picture's features (`encoders`) become subject tokens (`projector`, `resampler`), and every
attention looks at them through its own adapter (`adapters`). A `Subject` is what an attention
processor asks.
"""

from .adapters import Subject, SubjectAdapters, SubjectTokens, TokenSource
from .checkpoint import (
    CheckpointError,
    InstantCharacter,
    load_instant_character,
    save_instant_character,
)
from .config import EncoderConfig, ProjectorConfig
from .encoders import SubjectEncoders, SubjectFeatures
from .projector import PreparedSubject, SubjectProjector

__all__ = [
    "CheckpointError",
    "EncoderConfig",
    "InstantCharacter",
    "PreparedSubject",
    "ProjectorConfig",
    "Subject",
    "SubjectAdapters",
    "SubjectEncoders",
    "SubjectFeatures",
    "SubjectProjector",
    "SubjectTokens",
    "TokenSource",
    "load_instant_character",
    "save_instant_character",
]
