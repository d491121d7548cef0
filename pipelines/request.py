"""Render request that the application sends to the imaging engine.

Frozen dataclasses without torch, so that a request can be stored beside its picture, rendered
again, or sent to another process. It knows nothing of tensors, models or projects. Reference
pictures are named in it and kept elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Order = Literal["auto", "bank", "lockstep"]
BankDtype = Literal["native", "fp8"]

MAX_STYLE_WEIGHT = 2
MAX_REFERENCE_STRENGTH = 2
LARGEST_STRIDE = 4

# Fields that an older schema lacks have their defaults: 1 lacks the sizes of the masks' cleanup,
# 1 and 2 references and styles, 1 to 3 shortcuts. For 1 to 4, see `_mark_copies`.
SCHEMA_VERSION = 5
_READABLE_SCHEMAS = range(1, SCHEMA_VERSION + 1)

_PICTURE_NAME = re.compile(r"[0-9a-f]{64}\.png")


class _Stored:
    """Base of the dataclasses of a request: pydantic refuses unknown fields when it reads them."""

    __pydantic_config__ = {"extra": "forbid"}


@dataclass(frozen=True)
class Prompt(_Stored):
    """Prompt of one frame, in CharaConsist's three parts.

    Attributes:
        background: the location.
        character: who is in the frame; empty for nobody.
        action: what the character does.
    """

    background: str
    character: str
    action: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are not empty, stripped, in order."""
        parts = (self.background, self.character, self.action)
        return tuple(part.strip() for part in parts if part.strip())

    @property
    def text(self) -> str:
        """The whole prompt: the parts joined by one space (CharaConsist's form)."""
        return " ".join(self.parts)


@dataclass(frozen=True)
class FrameRequest(_Stored):
    """Frame of a render request.

    Attributes:
        frame_id: name of the frame, unique within its request.
        prompt: the prompt.
        seed: seed of the initial latents, 0 <= seed < 2**63.
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        identity_from: id of the earlier frame that is its identity frame; None for no consistent
            character.
        background_from: id of the earlier frame whose location it keeps; None for a new one.
        reference: name of the character's prepared reference picture, the SHA-256 of the PNG
            file's bytes and ".png"; None for none.
        reference_strength: strength of the reference (InstantCharacter's subject scale), in
            [0, 2]; 0 is off.
        copy_of: for a source frame rendered again as an earlier take was, the frame of the
            storyboard that it is a copy of; None for a frame as it is now.
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
    copy_of: str | None = None

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
        if not 0 <= self.reference_strength <= MAX_REFERENCE_STRENGTH:
            raise ValueError(
                f"reference_strength={self.reference_strength} of frame {self.frame_id!r} is not "
                f"in [0, {MAX_REFERENCE_STRENGTH}]"
            )

    @property
    def active_reference(self) -> str | None:
        """Name of the reference picture; None without one, and at strength 0."""
        return self.reference if self.reference_strength > 0 else None

    @property
    def original(self) -> str:
        """Id of the storyboard's frame: the copied one for a copy, else its own."""
        return self.copy_of or self.frame_id


@dataclass(frozen=True)
class ConsistencySettings(_Stored):
    """CharaConsist's settings, with steps as fractions of the schedule.

    The defaults are the published ones: at 50 steps they give its step numbers (sharing 1 to 41,
    merge 1, 11, 31, mask and matches at 10).

    Attributes:
        share_start: start of the sharing of keys and values.
        share_end: end of the sharing.
        merge: whether attention outputs of matched tokens are merged (adaptive token merge).
        merge_start: start of the merge.
        merge_decay: step from which its weight falls.
        merge_end: end of the merge.
        merge_weight: weight of the identity frame's output, in [0, 1].
        similarity_threshold: cosine similarity that a match must exceed, in [-1, 1].
        mask_step: step whose attention gives the mask and the matches.
        mask_erode: side of the square that erodes masks, in tokens, odd; 1 is off.
        mask_dilate: side of the square that dilates them afterwards, in tokens, odd.
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
class Shortcuts(_Stored):
    """Evaluations of the model that are left out, which changes the pictures; by default none.

    Attributes:
        every: stride, in [1, 4], of the steps that evaluate the model from the mask step on; the
            steps between reuse its last output. 1 is off.
        probe_every: the same stride in the probe pass.
    """

    every: int = 1
    probe_every: int = 1

    def __post_init__(self) -> None:
        for name in ("every", "probe_every"):
            value = getattr(self, name)
            if not 1 <= value <= LARGEST_STRIDE:
                raise ValueError(f"{name}={value} is not in [1, {LARGEST_STRIDE}]")


@dataclass(frozen=True)
class StyleLora(_Stored):
    """LoRA of a style.

    Attributes:
        source: path of a `.safetensors` file, or a LoRA on the Hugging Face hub as "owner/name"
            or "owner/name/file.safetensors".
        weight: its weight, in [-2, 2]; 1 is as trained, 0 is off.
        trigger: its trigger words; empty where it needs none.
    """

    source: str
    weight: float = 1.0
    trigger: str = ""

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ValueError("a style needs a LoRA: its file, or its name on the Hugging Face hub")
        if not (math.isfinite(self.weight) and abs(self.weight) <= MAX_STYLE_WEIGHT):
            raise ValueError(
                f"weight={self.weight} of the style {self.source!r} is not in "
                f"[-{MAX_STYLE_WEIGHT}, {MAX_STYLE_WEIGHT}]"
            )


@dataclass(frozen=True)
class RenderRequest(_Stored):
    """Frames to render together, and their settings.

    Attributes:
        model: name in the catalog, a Hugging Face repository, or a folder with a FLUX pipeline.
        frames: all frames that take part, each after its source frames.
        targets: ids of the frames whose pictures are wanted; the others are only sources.
        steps: denoising steps.
        guidance_scale: distilled guidance, for models that have a guidance embedding.
        true_cfg_scale: classifier-free guidance against `negative_prompt`; 1 turns it off.
        negative_prompt: the negative prompt of classifier-free guidance.
        consistency: CharaConsist's settings.
        styles: the LoRAs of all frames.
        shortcuts: evaluations of the model that are left out.
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
                    f"frame {frame.frame_id!r} is {size[0]}x{size[1]} and cannot keep the "
                    f"location of {frame.background_from!r}, which has another size"
                )
            sizes[frame.frame_id] = size
        missing = [t for t in self.targets if t not in sizes]
        if missing:
            raise ValueError(f"targets {missing} are not among the frames")

    @property
    def references(self) -> frozenset[str]:
        """Names of the reference pictures that its frames need; not of those at strength 0."""
        names = (frame.active_reference for frame in self.frames)
        return frozenset(name for name in names if name is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON-ready data, with a schema version."""
        return {"schema": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RenderRequest:
        """Read data of `to_dict`, in this schema version or an earlier one.

        Raises:
            ValueError: if the schema version is not known, a field is missing, not known or of
                another type, or a value is out of range.
        """
        fields = dict(data)
        schema = fields.pop("schema", None)
        if schema not in _READABLE_SCHEMAS:
            known = ", ".join(map(str, _READABLE_SCHEMAS))
            raise ValueError(f"render request schema {schema!r} is not one of {known}")
        request = _adapter().validate_json(json.dumps(fields), strict=True)
        return _mark_copies(request) if schema < 5 else request


def _mark_copies(request: RenderRequest) -> RenderRequest:
    """Set `copy_of` in a request of schema 1 to 4, where a copy's id is "frame.number"."""
    frames = (
        replace(frame, copy_of=frame.frame_id.rpartition(".")[0] or None)
        if frame.frame_id not in request.targets
        else frame
        for frame in request.frames
    )
    return replace(request, frames=tuple(frames))


@cache
def _adapter() -> TypeAdapter[RenderRequest]:
    from pydantic import TypeAdapter

    return TypeAdapter(RenderRequest)


def with_trigger(prompt: Prompt, loras: Sequence[StyleLora]) -> Prompt:
    """Return a prompt that begins with the trigger words of its styles.

    They are added to the background: among the words of the character they would attract its mask.
    A prompt without a background has no mask (all of the picture is the character's) and keeps
    none: they are added to its first part with words.

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
    """Memory that a render may take besides the model, and its use.

    Attributes:
        device_bytes: bytes for banks on the model's device; None for half of what is free.
        host_bytes: bytes for banks in host memory; None for half of what is free.
        folder: folder for banks that fit into neither; None for none.
        bank_dtype: "native", as the model computes, or "fp8", half as large and not exact.
        order: "bank" (one frame after another), "lockstep" (all side by side), or "auto".
        batch: frames that go through the transformer together in lockstep, at most; None for as
            many as fit into the free memory.
        streamed: whether the model's weights are copied to the device for every forward pass,
            which makes larger batches faster.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    folder: Path | None = None
    bank_dtype: BankDtype = "native"
    order: Order = "auto"
    batch: int | None = None
    streamed: bool = False
