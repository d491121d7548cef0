"""Banks: what is kept after the mask step, and that readers get the tensors of their tokens."""

import itertools

import pytest
import torch

from pipelines.consistency import Bank, StepPlan

PLAN = StepPlan(10, 1, 8, 1, 3, 6, 0.8, 0.5, 2)
TOKENS, HEADS, DIM, BLOCKS = 24, 2, 4, 4


def filled(*, identity: bool, background: bool) -> tuple[Bank, dict, torch.Tensor]:
    torch.manual_seed(0)
    bank = Bank(PLAN, lends_identity=identity, lends_background=background)
    mask = torch.rand(TOKENS) < 0.4
    saved = {}
    for step in range(PLAN.steps):
        for block in range(BLOCKS):
            key, value = torch.randn(2, TOKENS, HEADS, DIM)
            output = torch.randn(TOKENS, HEADS * DIM)
            saved[block, step] = key, value, output
            if bank.wants_keys(block, step):
                bank.save_keys(block, step, key, value)
            if bank.wants_output(block, step):
                bank.save_output(block, step, output)
            if bank.wants_matching(step):
                bank.save_matching(block, output)
        if step == PLAN.mask_step:
            bank.set_mask(mask)
    return bank, saved, mask


@pytest.mark.parametrize(("identity", "background"), [(True, False), (False, True), (True, True)])
def test_readers_get_the_tensors_of_their_tokens(identity, background):
    bank, saved, mask = filled(identity=identity, background=background)
    foreground, place = mask.nonzero().flatten().flip(0), (~mask).nonzero().flatten()[::2]
    for block, step in itertools.product(range(BLOCKS), range(1, 8)):
        key, value, output = saved[block, step]
        if identity and block % 2 == 0:
            found = bank.keys_values(block, step, foreground)
            assert torch.equal(found.key, key[foreground])
            assert torch.equal(found.value, value[foreground])
            if PLAN.merges(step):
                assert torch.equal(bank.output(block, step, foreground), output[foreground])
        if background:
            assert torch.equal(bank.keys_values(block, step, place).key, key[place])


def test_a_bank_holds_only_what_is_read():
    bank, _, mask = filled(identity=True, background=False)
    foreground, number = int(mask.sum()), 4
    keys = 2 * 7 * 2 * foreground * HEADS * DIM
    outputs = 2 * 5 * foreground * HEADS * DIM
    matching = BLOCKS * TOKENS * HEADS * DIM
    assert bank.nbytes == number * (keys + outputs + matching)
    most = Bank.most_bytes(
        PLAN, tokens=TOKENS, channels=HEADS * DIM, blocks=BLOCKS, itemsize=4, lends_background=False
    )
    assert bank.nbytes < most


def test_nothing_is_wanted_where_nothing_is_lent_or_shared():
    bank = Bank(PLAN, lends_identity=True, lends_background=False)
    assert bank.wants_keys(0, 1)
    assert not bank.wants_keys(1, 1)
    assert not bank.wants_keys(0, 0)
    assert not bank.wants_keys(0, 8)
    assert not bank.wants_output(0, 6)
    place = Bank(PLAN, lends_identity=False, lends_background=True)
    assert place.wants_keys(1, 1)
    assert not place.wants_output(0, 1)
    assert not place.wants_matching(PLAN.mask_step)


def test_reading_before_the_mask_step_is_an_error():
    bank = Bank(PLAN, lends_identity=True, lends_background=False)
    with pytest.raises(RuntimeError, match="mask step"):
        _ = bank.foreground


def fill_step(bank: Bank, step: int) -> None:
    bank.begin_step(step)
    for block in range(BLOCKS):
        key, value = torch.randn(2, TOKENS, HEADS, DIM)
        if bank.wants_keys(block, step):
            bank.save_keys(block, step, key, value)
        if bank.wants_matching(step):
            bank.save_matching(block, torch.randn(TOKENS, HEADS * DIM))


def test_what_does_not_last_is_dropped_when_another_step_begins():
    bank = Bank(PLAN, lends_identity=True, lends_background=True, lasting_steps=2)
    everything = torch.arange(TOKENS)
    for step in (1, 2):
        fill_step(bank, step)
        bank.begin_step(step)
        bank.keys_values(0, step, everything)
    with_both = bank.nbytes
    bank.begin_step(3)
    bank.keys_values(0, 1, everything)
    with pytest.raises(RuntimeError, match="no keys of block 0 at step 2"):
        bank.keys_values(0, 2, everything)
    with pytest.raises(RuntimeError, match="no unit output"):
        bank.unit_outputs(0, torch.device("cpu"))
    one_step = 2 * BLOCKS * TOKENS * HEADS * DIM * 4
    assert bank.nbytes == one_step
    assert bank.peak_bytes == with_both == 2 * one_step + one_step // 2


def test_forgetting_a_block_drops_only_what_does_not_last():
    bank = Bank(PLAN, lends_identity=True, lends_background=True, lasting_steps=2)
    for step in (1, 2):
        fill_step(bank, step)
        before = bank.nbytes
        bank.forget(0)
        freed = 0 if step == 1 else 3 * TOKENS * HEADS * DIM * 4
        assert before - bank.nbytes == freed


def test_a_mask_may_be_set_again_but_not_changed():
    bank, saved, mask = filled(identity=True, background=False)
    held = bank.nbytes
    bank.set_mask(mask.clone())
    assert bank.nbytes == held
    with pytest.raises(ValueError, match="differs in 1 tokens"):
        bank.set_mask(mask ^ (torch.arange(TOKENS) == 3))


def test_a_closed_bank_holds_nothing():
    bank, _, _ = filled(identity=True, background=True)
    peak = bank.peak_bytes
    bank.close()
    bank.close()
    assert bank.nbytes == 0
    assert bank.peak_bytes == peak
    assert set(bank.bytes_by_place.values()) == {0}
