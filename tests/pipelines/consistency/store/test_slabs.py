"""Slabs: pieces never overlap, what is given back is used again, and limits hold."""

import errno
import os
import random

import pytest
import torch

from pipelines.consistency.store import slabs
from pipelines.consistency.store.slabs import (
    ALIGNMENT,
    Piece,
    Slab,
    SlabPool,
    host_slab,
    mapped_slab,
)


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1024)


def host_pool(limit: int | None = None) -> SlabPool:
    return SlabPool(lambda size: host_slab(size, pinned=False), limit)


def test_pieces_keep_what_is_written_to_them():
    """Random takes and gives; every piece holds its own number all along."""
    chance, pool = random.Random(0), host_pool()
    held: dict[int, Piece] = {}
    for number in range(400):
        if held and chance.random() < 0.45:
            pool.give(held.pop(chance.choice(list(held))))
        else:
            piece = pool.take(chance.randrange(1, 700))
            assert piece is not None
            piece.memory.fill_(number % 256)
            held[number] = piece
        for owner, piece in held.items():
            assert (piece.memory == owner % 256).all()
    for piece in held.values():
        pool.give(piece)
    assert pool.reserved_bytes >= 1024
    pool.release()
    assert pool.reserved_bytes == 0


def test_what_is_given_back_is_joined_and_used_again():
    slab = Slab(torch.empty(4 * ALIGNMENT, dtype=torch.uint8))
    starts = [slab.take(ALIGNMENT) for _ in range(4)]
    assert starts == [0, ALIGNMENT, 2 * ALIGNMENT, 3 * ALIGNMENT]
    assert slab.take(1) is None
    for start in (2, 0, 1):
        slab.give(start * ALIGNMENT, ALIGNMENT)
    assert slab.take(3 * ALIGNMENT) == 0


def test_a_pool_never_reserves_more_than_its_limit():
    pool = host_pool(1024 + 512 + 256)
    assert pool.take(1024) is not None
    assert pool.take(2048) is None
    sizes = []
    while (piece := pool.take(ALIGNMENT)) is not None:
        sizes.append(piece.size)
    assert pool.reserved_bytes == 1024 + 512 + 256
    assert sum(sizes) == 512 + 256


def test_one_large_piece_gets_a_slab_of_its_own():
    pool = host_pool()
    piece = pool.take(5000)
    assert piece is not None
    assert pool.reserved_bytes == 8192


def test_mapped_files_have_no_names_and_keep_their_bytes(tmp_path):
    slab = mapped_slab(1024, tmp_path / "new")
    assert slab is not None and slab.mapping is not None
    if os.name == "posix":
        assert list((tmp_path / "new").iterdir()) == []
    piece = Piece(slab, 512, 256)
    piece.memory.copy_(torch.arange(256).to(torch.uint8))
    piece.read_ahead()
    assert slab.mapping[512:768] == bytes(range(256))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves otherwise")
def test_a_full_disk_has_no_room_and_other_faults_are_raised(tmp_path, monkeypatch):
    def fail(number: int):
        def reserve(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        return reserve

    monkeypatch.setattr(os, "posix_fallocate", fail(errno.ENOSPC))
    assert mapped_slab(1024, tmp_path) is None
    monkeypatch.setattr(os, "posix_fallocate", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        mapped_slab(1024, tmp_path)


def test_files_are_reserved_where_the_system_cannot(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    size = (1 << 20) + 4096
    slab = mapped_slab(size, tmp_path)
    assert slab is not None and slab.memory.numel() == size
    assert not slab.memory.any()
