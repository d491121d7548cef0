"""The study of settings: its variants and its characters."""

import pytest

from evaluation.studies.settings import fresh_suite, parse_variant
from evaluation.suite import REFERENCE_SUITE, SUITE, read_suite
from pipelines.models.catalog import FLUX1_DEV


def test_a_variant_changes_what_it_names_and_nothing_else():
    row = parse_variant("share_end=1,mask_erode=5,merge=0").row
    settings = row.settings(FLUX1_DEV, 50)
    assert (settings.share_end, settings.mask_erode, settings.merge) == (1.0, 5, False)
    assert isinstance(settings.mask_erode, int)
    assert settings.merge_weight == FLUX1_DEV.consistency.merge_weight
    assert row.consistent
    assert not row.shares_place


def test_a_variant_may_share_the_place():
    row = parse_variant("place=1,similarity_threshold=0.3").row
    assert row.shares_place
    assert row.settings(FLUX1_DEV, 50).similarity_threshold == 0.3


def test_a_variant_may_have_another_strength_of_references():
    row = parse_variant("strength=0.5,merge_weight=0.4").reference_row
    assert row.consistent and row.shares_place and not row.sharers_only
    assert row.settings(FLUX1_DEV, 50).merge_weight == 0.4
    assert row.conditioning is not None and row.conditioning.strength == 0.5
    alone = parse_variant("alone=1").reference_row
    assert not alone.consistent and not alone.shares_place
    assert alone.conditioning is not None and alone.conditioning.strength is None


def test_a_value_may_be_a_step_of_a_schedule_and_names_files_without_it():
    variant = parse_variant("share_end=3/4,mask_step=1/2")
    assert variant.changes == {"share_end": 0.75, "mask_step": 0.5}
    assert variant.row.title == "share_end=3/4,mask_step=1/2"
    assert variant.row.name == "share_end=0.75,mask_step=0.5"


@pytest.mark.parametrize(
    "text",
    ["strength=3", "speed=1", "share_end=2", "share_end=3/0", "merge_weight", "mask_erode=2"],
)
def test_a_variant_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_variant(text)


@pytest.mark.parametrize(("references", "path"), [(False, SUITE), (True, REFERENCE_SUITE)])
def test_no_character_of_the_suite_is_used(references, path):
    suite = fresh_suite(2, references=references)
    assert len(suite.characters) == 2
    assert suite.has_references == references
    known = {case.frames[0].seed for case in read_suite(path).characters}
    assert not known & {case.frames[0].seed for case in suite.characters}
    assert not {case.name for case in suite.characters} & {f"{kind}01" for kind in "cr"}


def test_characters_of_a_confirmation_are_none_of_the_search():
    both = fresh_suite(3).characters
    assert fresh_suite(1, after=2).characters == both[2:]
