"""Shortcuts: their names and settings."""

from typing import get_args

from pipelines.models.shortcuts import SHORTCUTS, ShortcutName, find_shortcut
from pipelines.request import Shortcuts


def test_every_choice_is_another_and_the_first_takes_no_shortcut():
    assert tuple(shortcut.name for shortcut in SHORTCUTS) == get_args(ShortcutName)
    assert len({shortcut.shortcuts for shortcut in SHORTCUTS}) == len(SHORTCUTS)
    assert SHORTCUTS[0].shortcuts == Shortcuts()
    coarse, half, both = (find_shortcut(name).shortcuts for name in get_args(ShortcutName)[1:])
    assert (coarse.every, half.probe_every) == (1, 1)
    assert both == Shortcuts(every=half.every, probe_every=coarse.probe_every)
