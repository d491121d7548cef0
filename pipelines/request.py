"""The one request that crosses from the application to the imaging engine.

Plain frozen dataclasses without torch, so that a request can be stored beside the picture it
made, replayed, or sent to another process. It knows nothing of tensors, models or projects.
Reference pictures are named in it and lie elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Order = Literal["auto", "bank", "lockstep"]
BankDtype = Literal["native", "fp8"]


STRONGEST = 2.0

SCHEMA_VERSION = 4
# 1 knew no sizes of the cleanup: the published ones. 1 and 2 knew neither references nor styles.
_READABLE_SCHEMAS = (1, 2, 3, SCHEMA_VERSION)

STRONGEST_REFERENCE = 2.0
LARGEST_STRIDE = 4
_PICTURE_NAME = re.compile(r"[0-9a-f]{64}\.png")


@dataclass(frozen=True)
class Prompt:
    """What one frame shows, in the three parts that CharaConsist tells apart.

    Attributes:
        background: the place.
        character: who is in it; empty for a frame with nobody.
        action: what the character does.
    """

    background: str
    character: str
    action: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are not empty, stripped, in order."""
        return tuple(p for p in (s.strip() for s in self._fields()) if p)

    @property
    def text(self) -> str:
        """The whole prompt: the parts joined by one space (CharaConsist's form)."""
        return " ".join(self.parts)

    def _fields(self) -> tuple[str, str, str]:
        return self.background, self.character, self.action


@dataclass(frozen=True)
class FrameRequest:
    """One frame to paint.

    Attributes:
        frame_id: name of the frame within its request.
        prompt: what it shows.
        seed: seed of the initial latents, 0 <= seed < 2**63.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        identity_from: the earlier frame whose character this one shows (its "identity frame"),
            or None to paint the character afresh.
        background_from: the earlier frame whose place this one shows, or None for a new place.
        reference: name of the prepared picture that its character looks like, the SHA-256 of the
            PNG file's bytes and ".png"; None for none.
        reference_strength: how closely it follows that picture (InstantCharacter's subject scale),
            in [0, 2]; 0 is off.
    """

    frame_id: str
    prompt: Prompt
    seed: int
    width: int
    height: int
    identity_from: str | None = None
    background_from: str | None = None
    reference: str | None = None
    reference_strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed {self.seed} of frame {self.frame_id!r} is not in [0, 2**63)")
        if self.width < 16 or self.height < 16 or self.width % 16 or self.height % 16:
            raise ValueError(
                f"size {self.width}x{self.height} of frame {self.frame_id!r}: both sides must be "
                "positive multiples of 16 pixels"
            )
        if not self.prompt.parts:
            raise ValueError(f"the prompt of frame {self.frame_id!r} is empty")
        if self.reference is not None and not _PICTURE_NAME.fullmatch(self.reference):
            raise ValueError(
                f"reference {self.reference!r} of frame {self.frame_id!r} is not the name of a "
                "prepared picture: 64 hexadecimal digits and .png"
            )
        if not 0 <= self.reference_strength <= STRONGEST_REFERENCE:
            raise ValueError(
                f"reference_strength={self.reference_strength} of frame {self.frame_id!r} is not "
                f"in [0, {STRONGEST_REFERENCE:g}]"
            )

    @property
    def followed(self) -> str | None:
        """Name of the picture that it follows; None without one, and at strength 0."""
        return self.reference if self.reference_strength > 0 else None


@dataclass(frozen=True)
class ConsistencySettings:
    """CharaConsist's settings, with steps as fractions of the schedule.

    The defaults are the published ones: at 50 steps they give its step numbers (sharing 1 to 41,
    merge 1, 11, 31, mask and matches at 10).

    Attributes:
        share_start: where keys and values begin to be shared.
        share_end: where sharing ends.
        merge: whether attention outputs of matched tokens are merged (adaptive token merge).
        merge_start: where the merge begins.
        merge_decay: where its weight begins to fall.
        merge_end: where it ends.
        merge_weight: weight of the identity frame's output, in [0, 1].
        similarity_threshold: cosine similarity that a match must exceed, in [-1, 1].
        mask_step: the step whose attention gives the mask and the matches.
        mask_erode: side of the square that masks are eroded by, in tokens, odd; 1 is off.
        mask_dilate: side of the square that they are dilated by afterwards, in tokens, odd.
    """

    share_start: float = 0.02
    share_end: float = 0.82
    merge: bool = True
    merge_start: float = 0.02
    merge_decay: float = 0.22
    merge_end: float = 0.62
    merge_weight: float = 0.8
    similarity_threshold: float = 0.5
    mask_step: float = 0.2
    mask_erode: int = 3
    mask_dilate: int = 5

    def __post_init__(self) -> None:
        for name in ("share_start", "share_end", "merge_start", "merge_decay", "merge_end"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is not a fraction of the schedule in [0, 1]")
        if not 0 <= self.mask_step < 1:
            raise ValueError(f"mask_step={self.mask_step} is not in [0, 1)")
        if not 0 <= self.merge_weight <= 1:
            raise ValueError(f"merge_weight={self.merge_weight} is not in [0, 1]")
        for name in ("mask_erode", "mask_dilate"):
            side = getattr(self, name)
            if side < 1 or side % 2 == 0:
                raise ValueError(f"{name}={side} is not an odd number of tokens")


@dataclass(frozen=True)
class Shortcuts:
    """Ways to paint faster that change the pictures; by default none.

    Attributes:
        every: from the mask step on, only every so-manieth step asks the model, and those between
            go on with its last answer, in [1, 4]; 1 is off.
        probe_every: the same for the steps in which masks and matches are looked for before a
            frame is painted.
    """

    every: int = 1
    probe_every: int = 1

    def __post_init__(self) -> None:
        for name in ("every", "probe_every"):
            value = getattr(self, name)
            if not 1 <= value <= LARGEST_STRIDE:
                raise ValueError(f"{name}={value} is not in [1, {LARGEST_STRIDE}]")


@dataclass(frozen=True)
class RenderRequest:
    """Frames to paint together, and how.

    Attributes:
        model: name in the registry, a Hugging Face repository, or a folder with a FLUX pipeline.
        frames: all frames that take part, each after those it takes its character or place from.
        targets: ids of the frames whose pictures are wanted; the others only lend theirs.
        steps: denoising steps.
        guidance_scale: distilled guidance, for models that have a guidance embedding.
        true_cfg_scale: classifier-free guidance against `negative_prompt`; 1 turns it off.
        negative_prompt: what classifier-free guidance moves away from.
        consistency: how character and place are kept.
        styles: the LoRAs that all frames are painted with.
        shortcuts: what is done less often than it should, to be faster.
    """

    model: str
    frames: tuple[FrameRequest, ...]
    targets: tuple[str, ...]
    steps: int
    guidance_scale: float = 3.5
    true_cfg_scale: float = 1.0
    negative_prompt: str = ""
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    styles: tuple[StyleLora, ...] = ()
    shortcuts: Shortcuts = Shortcuts()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} must be at least 1")
        if not self.frames:
            raise ValueError("a render request needs at least one frame")
        sizes: dict[str, tuple[int, int]] = {}
        for frame in self.frames:
            if frame.frame_id in sizes:
                raise ValueError(f"two frames are called {frame.frame_id!r}")
            for role, source in (
                ("identity_from", frame.identity_from),
                ("background_from", frame.background_from),
            ):
                if source is not None and source not in sizes:
                    raise ValueError(
                        f"frame {frame.frame_id!r}: {role}={source!r} is not an earlier frame"
                    )
            size = (frame.width, frame.height)
            if frame.background_from is not None and sizes[frame.background_from] != size:
                raise ValueError(
                    f"frame {frame.frame_id!r} is {size[0]}x{size[1]} and cannot share the place "
                    f"of {frame.background_from!r}, which has another size"
                )
            sizes[frame.frame_id] = size
        missing = [t for t in self.targets if t not in sizes]
        if missing:
            raise ValueError(f"targets {missing} are not among the frames")

    @property
    def references(self) -> frozenset[str]:
        """Names of the pictures that its frames follow; those at strength 0 are not needed."""
        return frozenset(frame.followed for frame in self.frames if frame.followed is not None)

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON-ready data, with a schema version."""
        return {"schema": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RenderRequest:
        """Read what `to_dict` wrote, in this version or an earlier one.

        Raises:
            ValueError: if the schema version is not known or a value is out of range.
        """
        fields = dict(data)
        schema = fields.pop("schema", None)
        if schema not in _READABLE_SCHEMAS:
            known = ", ".join(str(version) for version in _READABLE_SCHEMAS)
            raise ValueError(f"render request schema {schema!r} is not one of {known}")
        frames = tuple(
            FrameRequest(**{**frame, "prompt": Prompt(**frame["prompt"])})
            for frame in fields.pop("frames")
        )
        return cls(
            frames=frames,
            targets=tuple(fields.pop("targets")),
            consistency=ConsistencySettings(**fields.pop("consistency")),
            styles=tuple(StyleLora(**style) for style in fields.pop("styles", ())),
            shortcuts=Shortcuts(**fields.pop("shortcuts", {})),
            **fields,
        )


@dataclass(frozen=True)
class StyleLora:
    """A style that a render is painted in.

    Attributes:
        source: path of a `.safetensors` file, or a LoRA on the Hugging Face hub as "owner/name"
            or "owner/name/file.safetensors".
        weight: how strongly it is applied, in [-2, 2]; 1 is as trained, 0 nothing, below 0 away
            from the style.
        trigger: the words that it was trained with; empty where it needs none.
    """

    source: str
    weight: float = 1.0
    trigger: str = ""

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("a style needs a LoRA: its file, or its name on the Hugging Face hub")
        if not (math.isfinite(self.weight) and abs(self.weight) <= STRONGEST):
            raise ValueError(
                f"weight={self.weight} of the style {self.source!r} is not in "
                f"[-{STRONGEST:g}, {STRONGEST:g}]"
            )


def with_trigger(prompt: Prompt, loras: Sequence[StyleLora]) -> Prompt:
    """A prompt that begins with the trigger words of its styles.

    They go to the beginning of the background, since a style is no part of the character: words
    there do not draw the character's mask to them. A prompt without a background has no mask (all
    of the picture is the character's), and stays so: there they go to the first part with words.

    Args:
        prompt: the prompt.
        loras: the styles. A trigger that is empty, or that the prompt already has in any case of
            letters, adds nothing.
    """
    words: list[str] = []
    for trigger in (lora.trigger.strip() for lora in loras):
        if trigger and not _has_words(" ".join([*words, prompt.text]), trigger):
            words.append(trigger)
    if not words:
        return prompt
    parts = ("background", "character", "action")
    first = next((part for part in parts if getattr(prompt, part).strip()), "background")
    text = ", ".join(filter(None, [*words, getattr(prompt, first).strip()]))
    return replace(prompt, **{first: text})


def _has_words(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE) is not None


@dataclass(frozen=True)
class RenderBudget:
    """How much memory a render may take besides the model, and what it does with it.

    Attributes:
        device_bytes: for banks where the model computes; None for half of what is free.
        host_bytes: for banks in host memory; None for half of what is free.
        folder: where banks may go that fit into neither; None for nowhere.
        bank_dtype: "native", as the model computes, or "fp8", half as large and not exact.
        order: "bank" (one frame after another), "lockstep" (all side by side), or "auto".
        batch: frames that go through the transformer together in lockstep, at most; None for as
            many as the free memory suffices for.
        streamed: whether the model's weights come to the device anew for every forward pass, so
            that frames had better go through it together.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    folder: Path | None = None
    bank_dtype: BankDtype = "native"
    order: Order = "auto"
    batch: int | None = None
    streamed: bool = False
