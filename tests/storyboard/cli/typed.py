"""The command line in a process of its own, and the files it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.request import RenderRequest
from storyboard.settings import ROOT

STORY = """\
title: Maya's day
character: a girl in a red hoodie
size: 64x64
steps: 2
frames:
  - {location: on a beach, action: waving, share_background: true}
  - {location: on a beach, action: jumping, share_background: true, seed: 5}
"""
PATIENCE = 120.0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "storyboard", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "THROUGHLINE_DEVICE": "cpu"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def manifest_of(out: Path) -> Any:
    return json.loads((out / "manifest.json").read_text("utf-8"))


def requests_of(out: Path) -> list[RenderRequest]:
    return [RenderRequest.from_dict(group["request"]) for group in manifest_of(out)["groups"]]
