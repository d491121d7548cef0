"""Everything that a render needs besides the model and the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from PIL import Image

from pipelines.consistency.bank import Bank
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.request import RenderBudget
from pipelines.sampling.previews import Previews


@dataclass(frozen=True)
class RenderContext:
    """Surroundings of one render.

    Attributes:
        max_sequence_length: T5 tokens that the model was trained for.
        character: encoders, projector and adapters for reference pictures; None where no frame has
            one.
        pictures: prepared reference pictures by the names in the request, RGB.
        budget: memory to take, and the order of the frames; the pictures are the same.
        banks: key/value banks of frames that were rendered elsewhere, by their ids. Those frames
            are rendered only as targets; the banks are not closed.
        keep_bank: called with the id and the bank of every source frame, as soon as that frame is
            rendered; the bank is closed when its last reader is done. Frames are rendered one after
            another then.
        previews: how targets are previewed; None for not at all. The pictures are the same.
    """

    max_sequence_length: int = 512
    character: SubjectBundle | None = None
    pictures: Mapping[str, Image.Image] = field(default_factory=lambda: MappingProxyType({}))
    budget: RenderBudget = field(default_factory=RenderBudget)
    banks: Mapping[str, Bank] = field(default_factory=lambda: MappingProxyType({}))
    keep_bank: Callable[[str, Bank], None] | None = None
    previews: Previews | None = None

    @property
    def effective_budget(self) -> RenderBudget:
        """The budget; banks are kept for others only one frame after another."""
        return self.budget if self.keep_bank is None else replace(self.budget, order="bank")
