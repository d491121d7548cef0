"""Stores: the same tensors wherever they lie, within every budget, and back when a step begins."""

import errno
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.consistency.store import slabs
from pipelines.consistency.store.coding import Coded
from pipelines.consistency.store.copying import Copier, Fetched
from pipelines.consistency.store.storage import (
    BankFolderUnusable,
    BankFull,
    BankStorage,
    EntryKey,
    EntryStore,
)

TOKENS, HEADS, DIM = 32, 2, 8
ONE = 2 * TOKENS * HEADS * DIM * 4  # bytes of a pair of float32 tensors, a multiple of 64


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 2 * ONE)


def key(step: int, block: int = 0) -> EntryKey:
    return EntryKey("keys", block, step)


def pair(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, TOKENS, HEADS, DIM, generator=generator)
    return first, second


def full_store(storage: BankStorage, entries: int = 8) -> EntryStore:
    store = EntryStore(storage)
    for step in range(entries):
        store.put(key(step), pair(step), None)
    return store


def storages(folder: Path, dtype: str) -> dict[str, BankStorage]:
    return {
        "device": BankStorage(dtype=dtype),
        "host": BankStorage(device_bytes=0, dtype=dtype),
        "disk": BankStorage(device_bytes=0, host_bytes=0, folder=folder, dtype=dtype),
        "all": BankStorage(device_bytes=3 * ONE, host_bytes=2 * ONE, folder=folder, dtype=dtype),
    }


@pytest.mark.parametrize("dtype", ["native", "fp8"])
@pytest.mark.parametrize("where", ["device", "host", "disk", "all"])
def test_what_is_read_does_not_depend_on_where_it_lies(tmp_path, where, dtype):
    store = full_store(storages(tmp_path, dtype)[where])
    taken = [place for place, size in store.bytes_by_place.items() if size]
    if dtype == "native":
        assert taken == (["device", "host", "disk"] if where == "all" else [where])
    rows, kept = torch.tensor([9, 0, 31, 9]), torch.arange(0, TOKENS, 3)
    store.trim({key(2): kept, key(7): kept})
    store.put(key(3), pair(33), kept)
    for step in range(8):
        store.begin_step(step)
        trimmed = step in (2, 3, 7)
        for found, made in zip(
            store.get(key(step), rows % 11 if trimmed else rows),
            pair(33 if step == 3 else step),
            strict=True,
        ):
            coded = Coded.encode(made[kept] if trimmed else made, dtype)
            assert torch.equal(found, coded.decoded()[rows % 11 if trimmed else rows])


@pytest.mark.parametrize("dtype", ["native", "fp8"])
@pytest.mark.parametrize("where", ["device", "host", "disk", "all"])
def test_a_store_that_has_travelled_holds_the_same_and_weighs_what_it_holds(
    tmp_path, where, dtype, monkeypatch
):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1 << 20)
    store = full_store(storages(tmp_path, dtype)[where])
    kept = torch.arange(0, TOKENS, 5)
    store.trim({key(step): kept for step in range(8)})
    store.begin_step(3)
    packed = pickle.dumps(store)
    assert len(packed) < store.nbytes + 20_000 < slabs.SLAB_BYTES
    arrived = pickle.loads(packed)
    assert arrived.bytes_by_place == store.bytes_by_place
    for step in range(8):
        arrived.begin_step(step)
        for ours, theirs in zip(arrived.get(key(step)), store.get(key(step)), strict=True):
            assert torch.equal(ours, theirs)
    store.close()
    arrived.put(key(8), pair(8), None)
    assert torch.equal(arrived.get(key(8))[1], Coded.encode(pair(8)[1], dtype).decoded())


def test_no_budget_is_ever_exceeded_and_what_is_full_says_so():
    store = EntryStore(BankStorage(device_bytes=3 * ONE - 1, host_bytes=4 * ONE + 100))
    for step in range(6):
        store.put(key(step), pair(step), None)
        assert store.bytes_by_place["device"] <= 3 * ONE - 1
        assert store.bytes_by_place["host"] <= 4 * ONE
    assert store.bytes_by_place == {"device": 2 * ONE, "host": 4 * ONE, "disk": 0}
    with pytest.raises(BankFull, match=rf"{ONE} bytes.*{2 * ONE} of {3 * ONE - 1}.*{4 * ONE} of"):
        store.put(key(6), pair(6), None)
    assert store.nbytes == store.peak_bytes == 6 * ONE
    for step in range(6):
        assert torch.equal(store.get(key(step))[0], pair(step)[0])


def test_a_full_disk_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pipelines.consistency.store.storage.mapped_slab", lambda size, folder: None
    )
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=ONE, folder=tmp_path))
    store.put(key(0), pair(0), None)
    with pytest.raises(BankFull, match="the disk is full"):
        store.put(key(1), pair(1), None)


def a_file(folder):
    folder.write_text("")


def below_a_file(folder):
    folder.parent.rmdir()
    folder.parent.write_text("")


@pytest.mark.parametrize("spoil", [a_file, below_a_file])
def test_a_folder_that_is_none_says_so(tmp_path, spoil):
    folder = tmp_path / "sub" / "banks"
    folder.parent.mkdir()
    spoil(folder)
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=0, folder=folder))
    with pytest.raises(BankFolderUnusable, match=rf"{folder} \("):
        store.put(key(0), pair(0), None)


def test_a_name_that_is_too_long_says_so(tmp_path):
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=0, folder=tmp_path / ("n" * 300)))
    with pytest.raises(BankFolderUnusable, match=r"\(File name too long\)"):
        store.put(key(0), pair(0), None)


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_refuses_says_so(tmp_path, monkeypatch, reason):
    def refuse(*arguments, **options):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(slabs.tempfile, "TemporaryFile", refuse)
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=0, folder=tmp_path))
    with pytest.raises(BankFolderUnusable, match=os.strerror(reason)):
        store.put(key(0), pair(0), None)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_quota_is_a_full_disk(tmp_path, monkeypatch, reason):
    def refuse(*arguments):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(slabs.os, "posix_fallocate", refuse, raising=False)
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=0, folder=tmp_path))
    with pytest.raises(BankFull, match="the disk is full"):
        store.put(key(0), pair(0), None)


def test_a_disk_that_cannot_reserve_is_written_to(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(slabs.os, "posix_fallocate", refuse, raising=False)
    store = EntryStore(BankStorage(device_bytes=0, host_bytes=0, folder=tmp_path))
    store.put(key(0), pair(0), None)
    assert store.bytes_by_place["disk"] == ONE
    assert torch.equal(store.get(key(0))[0], pair(0)[0])


def test_trimming_makes_room_and_moves_entries_up():
    store = full_store(BankStorage(device_bytes=2 * ONE, host_bytes=4 * ONE), entries=6)
    kept = torch.arange(TOKENS // 4)
    store.trim({key(step): kept for step in range(6)})
    assert store.bytes_by_place == {"device": 6 * ONE // 4, "host": 0, "disk": 0}
    assert store.peak_bytes == 6 * ONE
    for step in range(6, 12):
        store.put(key(step), pair(step), kept)
    assert store.bytes_by_place == {"device": 8 * ONE // 4, "host": 4 * ONE // 4, "disk": 0}
    for step in range(12):
        assert torch.equal(store.get(key(step))[1], pair(step)[1][kept])


def test_saving_again_replaces():
    store = full_store(BankStorage(device_bytes=0, host_bytes=2 * ONE), entries=2)
    store.begin_step(1)
    store.put(key(1), pair(5), None)
    assert store.nbytes == 2 * ONE
    assert torch.equal(store.get(key(1))[0], pair(5)[0])


def test_an_entry_does_not_hold_what_it_is_a_part_of():
    whole = torch.randn(1 + TOKENS, HEADS, DIM)
    store = EntryStore(BankStorage())
    store.put(key(0), (whole[1:],), None)
    assert store.get(key(0))[0].untyped_storage().nbytes() == ONE // 2


class SlowCopier(Copier):
    """Copier whose copies are done when they are waited for; notes each entry's number."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.fetched_numbers: list[int] = []
        self._sources: list[Sequence[Tensor]] = []

    def fetch(self, sources: Sequence[Tensor]) -> Fetched:
        self.fetched_numbers.append(int(sources[0].flatten()[0]))
        number = torch.tensor([float(len(self._sources))])
        self._sources.append(sources)
        return Fetched((torch.full_like(sources[0], -1.0), number))

    def wait(self, fetched: Fetched) -> tuple[Tensor, ...]:
        target, number = fetched.tensors
        target.copy_(self._sources[int(number)][0])
        return (target,)


def numbered_store(steps: Sequence[int], device_bytes: int = 0) -> tuple[EntryStore, SlowCopier]:
    """Two entries a step, of the numbers 10 step and 10 step + 1."""
    copier = SlowCopier()
    store = EntryStore(BankStorage(device_bytes=device_bytes), lambda device: copier)
    for step in steps:
        for block in range(2):
            store.put(key(step, block), (torch.full((4, 2), 10.0 * step + block),), None)
    return store, copier


def test_the_next_step_is_fetched_ahead_and_each_step_once():
    store, copier = numbered_store([1, 2, 5, 6])
    store.begin_step(0)
    assert copier.fetched_numbers == [10, 11]
    last_fetched = {1: 21, 2: 51, 5: 61, 6: 61}
    for step, last in last_fetched.items():
        store.begin_step(step)
        assert copier.fetched_numbers[-1] == last
        for block in (0, 1, 0):
            rows = torch.tensor([3, 1])
            assert store.get(key(step, block), rows)[0].unique().tolist() == [10 * step + block]
    assert copier.fetched_numbers == [10, 11, 20, 21, 50, 51, 60, 61]


def test_copies_of_two_steps_at_most_are_held():
    store, _ = numbered_store(range(1, 8))
    two_steps = 2 * 2 * (4 * 2 * 4 + 4)  # entries of two steps, each with the copier's number
    for step in range(9):
        store.begin_step(step)
        assert store.fetched_bytes <= two_steps
    assert store.fetched_bytes == 0


def test_a_pass_that_begins_anew_finds_its_steps_again():
    store, copier = numbered_store([1, 2, 3])
    for step in (3, 0, 1):
        store.begin_step(step)
    assert copier.fetched_numbers == [30, 31, 10, 11, 20, 21]
    assert store.get(key(1))[0].unique().tolist() == [10]


def test_what_is_saved_while_its_step_runs_is_copied_when_first_read():
    store, copier = numbered_store([1])
    store.begin_step(1)
    store.put(key(1), (torch.full((4, 2), 17.0),), None)
    for _ in range(3):
        assert store.get(key(1))[0].unique().tolist() == [17]
    assert copier.fetched_numbers == [10, 11, 17]


def test_what_is_on_the_device_is_not_copied():
    store, copier = numbered_store([1, 2], device_bytes=3 * 4 * 2 * 4)
    store.begin_step(1)
    assert copier.fetched_numbers == [21]
    assert store.get(key(2, 0))[0].unique().tolist() == [20]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's mappings from /proc")
def test_closing_lets_go_of_every_file(tmp_path):
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path))

    store = full_store(BankStorage(device_bytes=0, host_bytes=0, folder=tmp_path))
    store.begin_step(0)
    store.get(key(0))
    assert mapped() == 4
    assert list(tmp_path.iterdir()) == []
    store.close()
    store.close()
    assert mapped() == 0
    assert store.nbytes == 0
    with pytest.raises(RuntimeError, match="holds no keys of block 0 at step 0"):
        store.get(key(0))


@pytest.mark.parametrize("limit", ["device_bytes", "host_bytes"])
def test_a_budget_is_not_negative(limit):
    with pytest.raises(ValueError, match=f"{limit}=-1"):
        BankStorage(**{limit: -1})


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["native", "fp8"])
@pytest.mark.parametrize("where", ["device", "host", "disk", "all"])
def test_a_gpu_reads_what_it_saved(tmp_path, where, dtype):
    """Large tensors, made and read without waiting for the copies between."""
    storage = BankStorage(
        device_bytes={"device": None, "all": 1 << 24}.get(where, 0),
        host_bytes={"disk": 0, "all": 1 << 26}.get(where),
        folder=tmp_path,
        dtype=dtype,
    )
    store = EntryStore(storage)
    kept = torch.arange(0, 2048, 3, device="cuda")
    made = {}
    for step in range(12):
        store.begin_step(step)
        made[step] = torch.randn(2048, 8, 128, device="cuda").bfloat16()
        store.put(key(step), (made[step].clone(), made[step] + 1), None if step < 6 else kept)
        if step == 5:
            store.trim({key(early): kept for early in range(6)})
    for step in range(12):
        store.begin_step(step)
        found = store.get(key(step), torch.arange(5, device="cuda"))
        for tensor, whole in zip(found, (made[step], made[step] + 1), strict=True):
            assert torch.equal(tensor, Coded.encode(whole[kept], dtype).decoded()[:5])
    store.close()
