"""Import of the page, without the stub files that Gradio would write beside its components."""

from __future__ import annotations

from storyboard.ui.stubs import without_stub_files

with without_stub_files():
    import storyboard.ui.page  # noqa: F401
