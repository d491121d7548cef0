"""The benchmark of settings: how variants are read, and whom they are tried on."""

import pytest

from benchmarks.settings import fresh_suite, parse_variant
from pipelines.registry import FLUX1_DEV
from pipelines.suite import read_suite
from storyboard.evaluation.command import SUITE


def test_a_variant_changes_what_it_names_and_nothing_else():
    row = parse_variant("share_end=1,mask_erode=5,merge=0")
    settings = row.settings(FLUX1_DEV)
    assert (settings.share_end, settings.mask_erode, settings.merge) == (1.0, 5, False)
    assert isinstance(settings.mask_erode, int)
    assert settings.merge_weight == FLUX1_DEV.consistency.merge_weight
    assert row.consistent
    assert not row.shares_place


def test_a_variant_may_share_the_place():
    row = parse_variant("place=1,similarity_threshold=0.3")
    assert row.shares_place
    assert row.settings(FLUX1_DEV).similarity_threshold == 0.3


@pytest.mark.parametrize("text", ["strength=1", "share_end=2", "merge_weight", "mask_erode=2"])
def test_a_variant_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_variant(text)


def test_nobody_of_the_suite_is_tried_on():
    suite = fresh_suite(2)
    assert len(suite.characters) == 2
    known = {case.frames[0].seed for case in read_suite(SUITE).characters}
    assert not known & {case.frames[0].seed for case in suite.characters}
