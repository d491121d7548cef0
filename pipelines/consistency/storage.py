"""Where the tensors of a bank lie, within how many bytes.

Knows nothing of blocks' meaning, masks or plans: it keeps groups of tensors under keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .coding import BankDtype, Coded

Place = Literal["device", "host", "disk"]


class BankFull(RuntimeError):
    """There is no room left in any of the places that a bank may use."""


@dataclass(frozen=True)
class BankStorage:
    """How much of a bank may lie where, and in which form.

    Tensors stay on the device that made them, while there is room; then in host memory; then in
    memory-mapped files.

    Attributes:
        device_bytes: bytes on the device; None for no limit.
        host_bytes: bytes of host memory; None for no limit.
        folder: where files may lie; None for no files.
        dtype: keep numbers as they come, or in eight bits.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    folder: Path | None = None
    dtype: BankDtype = "native"

    def __post_init__(self) -> None:
        for name in ("device_bytes", "host_bytes"):
            limit = getattr(self, name)
            if limit is not None and limit < 0:
                raise ValueError(f"{name}={limit} is less than nothing")


class EntryKey(NamedTuple):
    """What an entry is (its name is the bank's affair), of which block, at which step."""

    kind: str
    block: int
    step: int


@dataclass(frozen=True)
class Entry:
    """Tensors that are kept, read and dropped together."""

    coded: tuple[Coded, ...]
    device: torch.device
    place: Place

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(coded.nbytes for coded in self.coded)


class EntryStore:
    """The entries of one bank.

    Args:
        storage: how much may lie where.
    """

    def __init__(self, storage: BankStorage) -> None:
        self._storage = storage
        self._entries: dict[EntryKey, Entry] = {}
        self.bytes_by_place: dict[Place, int] = {"device": 0, "host": 0, "disk": 0}
        self.peak_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that are kept, wherever they lie."""
        return sum(self.bytes_by_place.values())

    def keys(self) -> list[EntryKey]:
        """The keys of all entries, in the order in which they came."""
        return list(self._entries)

    def put(self, key: EntryKey, tensors: Sequence[Tensor], rows: Tensor | None) -> None:
        """Keep tensors, or some of their rows, in place of what the key held.

        Raises:
            BankFull: if there is no room for them.
        """
        if rows is not None:
            tensors = [tensor[rows.to(tensor.device)] for tensor in tensors]
        coded = tuple(Coded.encode(tensor, self._storage.dtype) for tensor in tensors)
        self._place(key, coded, tensors[0].device)

    def trim(self, key: EntryKey, rows: Tensor) -> None:
        """Drop all but some rows of an entry."""
        entry = self._entries[key]
        self._place(key, tuple(coded.rows(rows) for coded in entry.coded), entry.device)

    def get(self, key: EntryKey, rows: Tensor | None = None) -> list[Tensor]:
        """Tensors of an entry, or some of their rows, on the device that made them.

        Raises:
            RuntimeError: if the key holds nothing.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise RuntimeError(
                f"the bank holds no {key.kind} of block {key.block} at step {key.step}"
            )
        found = entry.coded if rows is None else tuple(coded.rows(rows) for coded in entry.coded)
        return [coded.decoded().to(entry.device) for coded in found]

    def drop(self, key: EntryKey) -> None:
        """Forget an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_by_place[entry.place] -= entry.nbytes

    def close(self) -> None:
        """Forget everything."""
        for key in self.keys():
            self.drop(key)

    def _place(self, key: EntryKey, coded: tuple[Coded, ...], device: torch.device) -> None:
        self.drop(key)
        needed = sum(one.nbytes for one in coded)
        place = self._place_with_room(needed)
        there = device if place == "device" else torch.device("cpu")
        placed = tuple(
            one.with_parts(tuple(_own(part.to(there)) for part in one.parts)) for one in coded
        )
        self._entries[key] = Entry(placed, device, place)
        self.bytes_by_place[place] += needed
        self.peak_bytes = max(self.peak_bytes, self.nbytes)

    def _place_with_room(self, needed: int) -> Place:
        limits: dict[Place, int | None] = {
            "device": self._storage.device_bytes,
            "host": self._storage.host_bytes,
        }
        for place, limit in limits.items():
            if limit is None or self.bytes_by_place[place] + needed <= limit:
                return place
        raise BankFull(
            f"no room for {needed} bytes: {self.bytes_by_place['device']} of "
            f"{limits['device']} are taken on the device, {self.bytes_by_place['host']} of "
            f"{limits['host']} in host memory"
        )


def _own(tensor: Tensor) -> Tensor:
    """The tensor without the rest of a larger one that it is a part of."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
