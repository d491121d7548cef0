"""The reference pictures of a render: each is seen once, whatever frames follow it.

Takes prepared pictures (the character alone on white ground) under the names that requests use.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from PIL import Image

from pipelines.events import Notice
from pipelines.instant_character.adapters import Subject, SubjectAdapters, SubjectTokens
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.encoders import SubjectEncoders
from pipelines.request import FrameRequest


@dataclass(frozen=True)
class FollowedPictures:
    """What the frames of a render follow.

    Attributes:
        adapters: look at the pictures, in every attention; None where no frame follows one.
        tokens: the subject tokens of every picture, by its name.
    """

    adapters: SubjectAdapters | None
    tokens: Mapping[str, SubjectTokens]

    def subjects(self, frames: Sequence[FrameRequest]) -> dict[str, Subject | None]:
        """What each frame looks at, by its id; None for a frame that follows no picture.

        Frames that follow one picture in one strength have one subject.
        """
        found: dict[tuple[str, float], Subject] = {}
        looked_at: dict[str, Subject | None] = {}
        for frame in frames:
            subject = None
            if self.adapters is not None and frame.active_reference is not None:
                key = frame.active_reference, frame.reference_strength
                if key not in found:
                    found[key] = Subject(self.adapters, self.tokens[key[0]], key[1])
                subject = found[key]
            looked_at[frame.frame_id] = subject
        return looked_at


def check_pictures(
    frames: Sequence[FrameRequest],
    bundle: SubjectBundle | None,
    pictures: Mapping[str, Image.Image],
) -> None:
    """See that there is all that frames follow.

    Raises:
        ValueError: if a frame follows a picture that is not among `pictures`, or there is no
            bundle to follow it with.
    """
    for frame in frames:
        if frame.active_reference is None:
            continue
        if frame.active_reference not in pictures:
            raise ValueError(
                f"frame {frame.frame_id!r} needs the picture {frame.active_reference}, which is "
                f"not among the {len(pictures)} that were given"
            )
        if bundle is None:
            raise ValueError(
                f"frame {frame.frame_id!r} follows a picture, but no subject was given to follow "
                "it with"
            )


def read_pictures(
    frames: Sequence[FrameRequest],
    bundle: SubjectBundle | None,
    pictures: Mapping[str, Image.Image],
    device: torch.device,
) -> Generator[Notice, None, FollowedPictures]:
    """Look at every picture that frames follow, in the order in which they name them.

    Args:
        frames: the frames, for which `check_pictures` found everything.
        bundle: encoders, projector and adapters.
        pictures: prepared pictures by name, RGB; those that no frame follows are not looked at.
        device: where the encoders work. If they wait elsewhere, they go back there.

    Yields:
        What the bundle doubts of a picture, once a picture.

    Returns:
        What the frames follow.

    Raises:
        ValueError: if a picture is not RGB.
    """
    names = list(
        dict.fromkeys(
            frame.active_reference for frame in frames if frame.active_reference is not None
        )
    )
    if bundle is None or not names:
        return FollowedPictures(None, {})
    with _working_on(device, bundle.encoders) as encoders:
        features = {name: encoders([pictures[name]]) for name in names}
    for name, seen in features.items():
        words = bundle.doubt(seen)
        if words:
            yield Notice("reference", name, words)
    tokens = {name: bundle.weights.tokens(seen) for name, seen in features.items()}
    return FollowedPictures(bundle.weights.adapters, tokens)


@contextmanager
def _working_on(device: torch.device, encoders: SubjectEncoders) -> Iterator[SubjectEncoders]:
    """Encoders on a device for a while: they work once a render, and need not stay there."""
    home = encoders.siglip.device
    try:
        yield encoders.to(device)
    finally:
        encoders.to(home)
