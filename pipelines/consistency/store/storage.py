"""Storage of a bank's tensors: on the device, in host memory or on disk, within byte limits.

Knows nothing of masks or plans: it keeps groups of tensors under keys, and what a key means is the
bank's affair, except that entries of a step are read when that step is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pipelines.consistency.store.coding import BankDtype, Coded
from pipelines.consistency.store.copying import Copier, Fetched, copier_for
from pipelines.consistency.store.slabs import ALIGNMENT, Piece, SlabPool, host_slab, mapped_slab

Place = Literal["device", "host", "disk"]


class BankFull(RuntimeError):
    """No room is left in any of the places that a bank may use."""


class BankFolderUnusable(RuntimeError):
    """The folder for banks cannot hold files; the message names it and the reason."""


@dataclass(frozen=True)
class BankStorage:
    """Limits of a bank's storage in each place, and its number format.

    Tensors stay on the device that made them, while there is room; then in host memory, pinned
    where the device is a GPU; then in memory-mapped files. Those that are not on the device come
    back ahead of the step that reads them, so that up to two steps' worth is on the
    device besides.

    Attributes:
        device_bytes: bytes on the device; None for no limit.
        host_bytes: bytes of host memory, also of what is reserved and not used yet; None for no
            limit.
        folder: where files may lie, which is made if it is not there; None for no files.
        dtype: "native" keeps numbers as they come; "fp8" in eight bits and a scale for each
            token, with the errors that `Coded` states.
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
    """Kind of an entry, its block, and the step at which it is read."""

    kind: str
    block: int
    step: int


@dataclass(frozen=True)
class Entry:
    """Tensors that are kept, read and dropped together.

    Attributes:
        coded: the tensors as they are kept.
        device: what made them.
        place: where they are.
        piece: the memory that they take; None on the device.
    """

    coded: tuple[Coded, ...]
    device: torch.device
    place: Place
    piece: Piece | None

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(coded.nbytes for coded in self.coded)

    @property
    def parts(self) -> list[Tensor]:
        """All parts of all tensors."""
        return [part for coded in self.coded for part in coded.parts]

    def copied(self) -> Entry:
        """Return the entry on the host, in memory that nothing else shares."""
        parts = [part.to("cpu", copy=True) for part in self.parts]
        return Entry(self.with_parts(parts), self.device, "host", None)

    def with_parts(self, parts: Sequence[Tensor]) -> tuple[Coded, ...]:
        """Return the entry with its parts elsewhere, in their order."""
        rest = iter(parts)
        return tuple(c.with_parts(tuple(next(rest) for _ in c.parts)) for c in self.coded)


class EntryStore:
    """Entries of one bank, within the limits of its storage."""

    def __init__(
        self, storage: BankStorage, new_copier: Callable[[torch.device], Copier] = copier_for
    ) -> None:
        self.bytes_by_place: dict[Place, int] = {"device": 0, "host": 0, "disk": 0}
        self.peak_bytes = 0
        self._storage = storage
        self._new_copier = new_copier
        self._copiers: dict[torch.device, Copier] = {}
        self._pools: dict[Place, SlabPool] = {}
        self._entries: dict[EntryKey, Entry] = {}
        self._fetched: dict[EntryKey, Fetched] = {}
        self._steps: tuple[int, ...] = ()

    def __getstate__(self) -> tuple[BankStorage, list[tuple[EntryKey, Entry]]]:
        """Return the entries, in memory of their own, and the limits, for another process."""
        for copier in self._copiers.values():
            copier.settle()
        return self._storage, [(key, entry.copied()) for key, entry in self._entries.items()]

    def __setstate__(self, state: tuple[BankStorage, list[tuple[EntryKey, Entry]]]) -> None:
        """Find room for the entries here, as if they came from a device that is here."""
        storage, entries = state
        self.__init__(storage)  # type: ignore[misc]
        for key, entry in entries:
            self._place(key, entry.coded, entry.device)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept, wherever they lie."""
        return sum(self.bytes_by_place.values())

    @property
    def fetched_bytes(self) -> int:
        """Bytes of the copies on the device that are there for a step, or on their way."""
        return sum(t.nbytes for fetched in self._fetched.values() for t in fetched.tensors)

    def keys(self) -> list[EntryKey]:
        """Return the keys of all entries, in the order in which they came."""
        return list(self._entries)

    def put(self, key: EntryKey, tensors: Sequence[Tensor], rows: Tensor | None) -> None:
        """Keep tensors, or some of their rows, in place of what the key held.

        Raises:
            BankFull: if there is no room for them.
            BankFolderUnusable: if the folder for files cannot be used.
        """
        if rows is not None:
            tensors = [tensor[rows] for tensor in tensors]
        coded = tuple(Coded.encode(tensor, self._storage.dtype) for tensor in tensors)
        self._place(key, coded, tensors[0].device)

    def trim(self, rows: Mapping[EntryKey, Tensor]) -> None:
        """Drop all but some rows of entries, and what memory comes free.

        Entries move to the device where there is room now. Rows to keep are int64 indices.
        """
        for copier in self._copiers.values():
            copier.settle()
        for key in sorted(rows, key=lambda key: self._entries[key].place != "device"):
            entry = self._entries[key]
            coded = tuple(one.rows(rows[key].to(one.numbers.device)) for one in entry.coded)
            self._place(key, coded, entry.device)
        for pool in self._pools.values():
            pool.release()

    def get(self, key: EntryKey, rows: Tensor | None = None) -> list[Tensor]:
        """Return tensors of an entry, or some of their rows, on the device that made them.

        Whole tensors may be the very memory of the entry: to be read before it is dropped. Rows are
        int64 indices on that device.

        Raises:
            RuntimeError: if the key holds nothing.
        """
        entry = self._entries.get(key)
        if entry is None:
            raise RuntimeError(
                f"the bank holds no {key.kind} of block {key.block} at step {key.step}"
            )
        coded = entry.coded
        if entry.place != "device":
            fetched = self._fetched.get(key) or self._fetch(key)
            coded = entry.with_parts(self._copiers[entry.device].wait(fetched))
        if rows is not None:
            coded = tuple(one.rows(rows) for one in coded)
        return [one.decoded() for one in coded]

    def drop(self, key: EntryKey) -> None:
        """Forget an entry, if there is one."""
        self._fetched.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_by_place[entry.place] -= entry.nbytes
            if entry.piece is not None:
                self._pools[entry.place].give(entry.piece)

    def begin_step(self, step: int) -> None:
        """Bring the entries of a step to the device, and begin with those of the next that has any.

        Of the one after that, the system begins to read from disk what is there.
        """
        away = {key: entry for key, entry in self._entries.items() if entry.place != "device"}
        later = sorted({key.step for key in away if key.step > step})
        self._steps = (step, *later[:1])
        self._fetched = {k: f for k, f in self._fetched.items() if k.step in self._steps}
        for wanted in self._steps:
            for key in away:
                if key.step == wanted and key not in self._fetched:
                    self._fetch(key)
        for key, entry in away.items():
            if key.step in later[1:2] and entry.piece is not None:
                entry.piece.read_ahead()

    def close(self) -> None:
        """Drop everything and free all memory. May be called again."""
        for key in self.keys():
            self.drop(key)
        pinned = any(device.type == "cuda" for device in self._copiers)
        self._pools, self._copiers = {}, {}
        if pinned:
            torch.accelerator.empty_host_cache()

    def _fetch(self, key: EntryKey) -> Fetched:
        """Begin to copy an entry to its device, and keep the copy if its step is now or next."""
        entry = self._entries[key]
        fetched = self._copiers[entry.device].fetch(entry.parts)
        if key.step in self._steps:
            self._fetched[key] = fetched
        return fetched

    def _place(self, key: EntryKey, coded: tuple[Coded, ...], device: torch.device) -> None:
        """Put an entry where there is room, in place of what the key held."""
        self.drop(key)
        entry = Entry(coded, device, "device", None)
        limit = self._storage.device_bytes
        if limit is None or self.bytes_by_place["device"] + entry.nbytes <= limit:
            owned = [_own(part.to(device)) for part in entry.parts]
            entry = Entry(entry.with_parts(owned), device, "device", None)
        else:
            entry = self._put_away(entry)
        self._entries[key] = entry
        self.bytes_by_place[entry.place] += entry.nbytes
        self.peak_bytes = max(self.peak_bytes, self.nbytes)

    def _put_away(self, entry: Entry) -> Entry:
        """Return the entry in host memory or on disk."""
        ends, size = [], 0
        for part in entry.parts:
            size += -(-part.nbytes // ALIGNMENT) * ALIGNMENT
            ends.append(size)
        place, piece = self._take(size, entry.device)
        if entry.device not in self._copiers:
            self._copiers[entry.device] = self._new_copier(entry.device)
        copier = self._copiers[entry.device]
        parts = []
        for source, start in zip(entry.parts, [0, *ends[:-1]], strict=True):
            memory = piece.memory[start : start + source.nbytes]
            target = memory.view(source.dtype).view(source.shape)
            copier.save(source, target)
            parts.append(target)
        return Entry(entry.with_parts(parts), entry.device, place, piece)

    def _take(self, size: int, device: torch.device) -> tuple[Place, Piece]:
        storage = self._storage
        if not self._pools:
            pinned = device.type == "cuda"
            self._pools["host"] = SlabPool(partial(host_slab, pinned=pinned), storage.host_bytes)
            if storage.folder is not None:
                self._pools["disk"] = SlabPool(partial(mapped_slab, folder=storage.folder), None)
        for place, pool in self._pools.items():
            try:
                piece = pool.take(size)
            except OSError as error:
                reason = error.strerror or str(error)
                raise BankFolderUnusable(f"{storage.folder} ({reason})") from error
            if piece is not None:
                return place, piece
        held = self.bytes_by_place
        disk = "there may be no files"
        if storage.folder is not None:
            disk = f"{held['disk']} are in {storage.folder}, where the disk is full"
        raise BankFull(
            f"no room for {size} bytes of a bank: {held['device']} of {storage.device_bytes} are "
            f"taken on {device}, {held['host']} of {storage.host_bytes} in host memory, and {disk}"
        )


def _own(tensor: Tensor) -> Tensor:
    """Copy a tensor out of a larger one that it is a part of."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
