"""Reference pictures of a render: each is encoded once, for all frames that are conditioned on it.

Takes prepared pictures (the character alone on white ground) under the names that requests use.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image

from pipelines.events import Notice
from pipelines.finite import check_finite
from pipelines.instant_character.adapters import Subject, SubjectAdapters, SubjectTokens
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.encoders import SubjectEncoders
from pipelines.request import FrameRequest

ENCODERS = "The image encoders"


@dataclass(frozen=True)
class EncodedReferences:
    """Encoded reference pictures of a render.

    Attributes:
        adapters: cross-attend to the pictures, in every block; None where no frame has one.
        tokens: subject tokens of every picture, by its name.
    """

    adapters: SubjectAdapters | None
    tokens: Mapping[str, SubjectTokens]

    def subjects(self, frames: Sequence[FrameRequest]) -> dict[str, Subject | None]:
        """Return the subject of each frame, by its id; None for a frame without a picture.

        Frames with one picture in one strength share a subject.
        """
        found: dict[tuple[str, float], Subject] = {}
        by_frame: dict[str, Subject | None] = {}
        for frame in frames:
            subject = None
            if self.adapters is not None and frame.active_reference is not None:
                key = frame.active_reference, frame.reference_strength
                if key not in found:
                    found[key] = Subject(self.adapters, self.tokens[key[0]], key[1])
                subject = found[key]
            by_frame[frame.frame_id] = subject
        return by_frame


def check_pictures(
    frames: Sequence[FrameRequest],
    bundle: SubjectBundle | None,
    pictures: Mapping[str, Image.Image],
) -> None:
    """Check that every frame's reference picture is there, and a bundle to encode it.

    Raises:
        ValueError: if a frame's picture is not among `pictures`, or there is no bundle.
    """
    for frame in frames:
        if frame.active_reference is None:
            continue
        if frame.active_reference not in pictures:
            raise ValueError(
                f"the picture {frame.active_reference} of frame {frame.frame_id!r} is not among "
                f"the {len(pictures)} that were given"
            )
        if bundle is None:
            raise ValueError(
                f"frame {frame.frame_id!r} has a reference picture, and no bundle was given"
            )


def read_pictures(
    frames: Sequence[FrameRequest],
    bundle: SubjectBundle | None,
    pictures: Mapping[str, Image.Image],
    device: torch.device,
) -> Generator[Notice, None, EncodedReferences]:
    """Encode every reference picture, in the order in which frames name them.

    Args:
        frames: the frames, which passed `check_pictures`.
        bundle: encoders, projector and adapters.
        pictures: prepared pictures by name, RGB; those that no frame names are not encoded.
        device: device of the encoders during the call; afterwards they return to where they were.

    Yields:
        A notice for each picture that the bundle doubts.

    Returns:
        The encoded pictures.

    Raises:
        ValueError: if a picture is not RGB.
        NotFinite: if a picture's features hold a NaN or an infinity.
    """
    references = (frame.active_reference for frame in frames)
    names = list(dict.fromkeys(name for name in references if name is not None))
    if bundle is None or not names:
        return EncodedReferences(None, {})
    with _working_on(device, bundle.encoders) as encoders:
        features = {name: encoders([pictures[name]]) for name in names}
    for seen in features.values():
        check_finite(ENCODERS, seen.low_shallow, seen.low_deep, seen.high_deep)
    for name, seen in features.items():
        words = bundle.doubt(seen)
        if words:
            yield Notice("reference", name, words)
    tokens = {name: bundle.weights.tokens(seen) for name, seen in features.items()}
    return EncodedReferences(bundle.weights.adapters, tokens)


@contextmanager
def _working_on(device: torch.device, encoders: SubjectEncoders) -> Iterator[SubjectEncoders]:
    """Move encoders to a device for a while: they run once a render, and need not stay there."""
    home = encoders.siglip.device
    try:
        yield encoders.to(device)
    finally:
        encoders.to(home)
