"""Memory handed out in pieces of large slabs: pinned host memory, or memory-mapped files.

Pinning memory and mapping files are slow, torch rounds pinned tensors up to powers of two and
keeps what is freed for requests of the same size: so it is done seldom, in few sizes. Knows nothing
of what lies in the pieces.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

SLAB_BYTES = 1 << 28
ALIGNMENT = 64


@dataclass(eq=False)
class Slab:
    """Contiguous bytes with pieces taken out of them.

    Attributes:
        memory: uint8, shape (bytes,).
        mapping: the mapped file that the memory is; None for host memory.
    """

    memory: Tensor
    mapping: mmap.mmap | None = None
    _gaps: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._gaps = [(0, self.memory.numel())]

    @property
    def is_empty(self) -> bool:
        """True where no piece is taken."""
        return self._gaps == [(0, self.memory.numel())]

    def take(self, size: int) -> int | None:
        """Take the first gap of so many bytes and return its offset; None if there is none."""
        for number, (start, stop) in enumerate(self._gaps):
            if stop - start >= size:
                rest = [(start + size, stop)] if stop - start > size else []
                self._gaps[number : number + 1] = rest
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """Free a piece, and join it with the gaps beside it."""
        joined: list[tuple[int, int]] = []
        for gap in sorted([*self._gaps, (start, start + size)]):
            if joined and joined[-1][1] == gap[0]:
                joined[-1] = (joined[-1][0], gap[1])
            else:
                joined.append(gap)
        self._gaps = joined


@dataclass(frozen=True)
class Piece:
    """Bytes that are taken out of a slab."""

    slab: Slab
    start: int
    size: int

    @property
    def memory(self) -> Tensor:
        """The bytes, uint8, shape (size,)."""
        return self.slab.memory[self.start : self.start + self.size]

    def read_ahead(self) -> None:
        """Let the system begin to read a mapped file's piece, where it can."""
        if self.slab.mapping is not None and hasattr(mmap, "MADV_WILLNEED"):
            first = self.start - self.start % mmap.PAGESIZE
            length = self.start + self.size - first
            self.slab.mapping.madvise(mmap.MADV_WILLNEED, first, length)


class SlabPool:
    """Slabs of one kind, which never take more than a limit.

    Args:
        new_slab: makes a slab of so many bytes, or gives None where there is no room for it.
        limit: bytes that all slabs may take; None for no limit.
    """

    def __init__(self, new_slab: Callable[[int], Slab | None], limit: int | None) -> None:
        self._new_slab = new_slab
        self._limit = limit
        self._slabs: list[Slab] = []

    @property
    def reserved_bytes(self) -> int:
        """Bytes of all slabs, taken or not."""
        return sum(slab.memory.numel() for slab in self._slabs)

    def take(self, size: int) -> Piece | None:
        """Take at least so many bytes from the first slab with room; None if none has."""
        size = max(1, -(-size // ALIGNMENT)) * ALIGNMENT
        for slab in self._slabs:
            start = slab.take(size)
            if start is not None:
                return Piece(slab, start, size)
        grown = self._grow(size)
        return None if grown is None else Piece(grown, grown.take(size) or 0, size)

    def give(self, piece: Piece) -> None:
        """Free a piece. Its slab stays, for others, until `release`."""
        piece.slab.give(piece.start, piece.size)

    def release(self) -> None:
        """Free the slabs of which nothing is taken."""
        self._slabs = [slab for slab in self._slabs if not slab.is_empty]

    def _grow(self, size: int) -> Slab | None:
        """Add a slab, as large as the limit allows up to the usual size."""
        smallest = 1 << (size - 1).bit_length()
        wanted = max(SLAB_BYTES, smallest)
        room = wanted if self._limit is None else self._limit - self.reserved_bytes
        while wanted > max(room, smallest):
            wanted //= 2
        slab = self._new_slab(wanted) if wanted <= room else None
        if slab is not None:
            self._slabs.append(slab)
        return slab


def host_slab(size: int, *, pinned: bool) -> Slab:
    """Make a slab of host memory, pinned where a GPU copies from and to it on its own."""
    return Slab(torch.empty(size, dtype=torch.uint8, pin_memory=pinned))


def mapped_slab(size: int, folder: Path) -> Slab | None:
    """Make a slab that is a mapped file; None where the disk or its quota is full.

    The file has no name, or on Windows one that goes with it, so that nothing is left behind
    however the process ends. Its blocks are reserved at once: a mapping that finds
    the disk full while it is written to would end the process.

    Raises:
        OSError: if the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file, size)
            mapping = mmap.mmap(file.fileno(), size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return None
        raise
    return Slab(torch.frombuffer(mapping, dtype=torch.uint8), mapping)


def _reserve(file: IO[bytes], size: int) -> None:
    """Give an empty file so many bytes on the disk."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # disks of some networks
                raise
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
