"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.request import RenderBudget
from storyboard import settings as module
from storyboard.settings import ROOT, Settings, Workers


def test_nothing_set_gives_the_defaults_beside_the_app() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert settings.projects == ROOT / "projects"
    assert (ROOT / "storyboard" / "settings.py").is_file()


def test_every_variable_is_read(tmp_path: Path) -> None:
    environment = {
        "THROUGHLINE_PROJECTS": str(tmp_path),
        "THROUGHLINE_MODEL": "flux1-dev",
        "THROUGHLINE_HOST": "0.0.0.0",
        "THROUGHLINE_PORT": "8080",
        "THROUGHLINE_HOSTS": "boards.example.org, *.studio.example,",
        "THROUGHLINE_LORAS": "ann/ink, ben/oil/two.safetensors",
        "THROUGHLINE_CONSENTS": "tencent/InstantCharacter",
        "THROUGHLINE_DEVICE": "cuda:1",
        "THROUGHLINE_DTYPE": "bfloat16",
        "THROUGHLINE_WORKERS": "4",
        "THROUGHLINE_MEMORY": "Group-Offload",
        "THROUGHLINE_ORDER": "bank",
        "THROUGHLINE_BANK": "fp8",
        "THROUGHLINE_BANK_MEMORY": "12.5",
        "THROUGHLINE_BANK_FOLDER": str(tmp_path / "banks"),
        "THROUGHLINE_ATTENTION": "flash",
        "THROUGHLINE_COMPILE": "1",
        "THROUGHLINE_PREVIEWS": "0",
    }
    assert Settings.from_environment(environment) == Settings(
        projects=tmp_path,
        model="flux1-dev",
        host="0.0.0.0",
        port=8080,
        hosts=("boards.example.org", "*.studio.example"),
        loras=("ann/ink", "ben/oil/two.safetensors"),
        agreed=("tencent/InstantCharacter",),
        device="cuda:1",
        dtype="bfloat16",
        workers=Workers(4),
        memory="group-offload",
        budget=RenderBudget(
            order="bank", bank_dtype="fp8", host_bytes=12_500_000_000, folder=tmp_path / "banks"
        ),
        attention="flash",
        compiled=True,
        previews=False,
    )


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ("1", Workers(1)),
        ("auto", Workers()),
        ("auto@10.0.0.1:6379", Workers(None, "10.0.0.1:6379")),
        ("12@auto", Workers(12, "auto")),
    ],
)
def test_workers_are_a_number_or_auto_here_or_at_an_address(text: str, workers: Workers) -> None:
    assert Settings.from_environment({"THROUGHLINE_WORKERS": text}).workers == workers


def test_an_empty_variable_counts_as_absent() -> None:
    names: tuple[str, ...] = (
        "PROJECTS",
        "MODEL",
        "HOST",
        "HOSTS",
        "LORAS",
        "CONSENTS",
        "PORT",
        "DEVICE",
        "DTYPE",
        "WORKERS",
        "MEMORY",
    )
    names += ("ATTENTION", "COMPILE", "PREVIEWS", "ORDER", "BANK", "BANK_MEMORY", "BANK_FOLDER")
    assert Settings.from_environment({f"THROUGHLINE_{n}": "" for n in names}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROJECTS", "~nobody-here/projects"),
        ("PORT", "70000"),
        ("PORT", "web"),
        ("HOSTS", "https://boards.example.org"),
        ("HOSTS", "boards.example.org, a b"),
        ("LORAS", "ink.safetensors"),
        ("LORAS", "/etc/ink.safetensors"),
        ("CONSENTS", "yes"),
        ("DEVICE", "tpu"),
        ("DEVICE", "cuda:"),
        ("DTYPE", "int8"),
        ("COMPILE", "yes"),
        ("PREVIEWS", "off"),
        ("ORDER", "first"),
        ("BANK", "fp16"),
        ("BANK_MEMORY", "16 GB"),
        ("WORKERS", "0"),
        ("WORKERS", "two"),
        ("WORKERS", "2@"),
        ("WORKERS", "2@ray://10.0.0.1:10001"),
        ("WORKERS", "10.0.0.1:6379"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=f"THROUGHLINE_{name} is '{value}'"):
        Settings.from_environment({f"THROUGHLINE_{name}": value})


def test_a_memory_preset_is_named_or_chosen_by_what_fits() -> None:
    for name in ("auto", "AUTO"):
        assert Settings.from_environment({"THROUGHLINE_MEMORY": name}).memory == "auto"
    with pytest.raises(
        UserError, match="THROUGHLINE_MEMORY is 'leaf-ofload'.*Did you mean 'leaf-offload'"
    ):
        Settings.from_environment({"THROUGHLINE_MEMORY": "leaf-ofload"})


def test_a_space_listens_to_all_and_keeps_projects_on_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPACE_DISK", tmp_path)
    settings = Settings.from_environment({"SPACE_ID": "someone/throughline"})
    assert settings.space
    assert settings.host == "0.0.0.0"
    assert settings.projects == tmp_path / "projects"
    monkeypatch.setattr(module, "SPACE_DISK", tmp_path / "absent")
    without_disk = Settings.from_environment({"SPACE_ID": "someone/throughline"})
    assert without_disk.projects == ROOT / "projects"


def test_a_space_answers_to_its_name() -> None:
    variables = {"SPACE_ID": "someone/boards", "SPACE_HOST": "someone-boards.hf.space"}
    assert Settings.from_environment(variables).hosts == ("someone-boards.hf.space",)
    variables |= {"THROUGHLINE_HOSTS": "boards.example.org"}
    names = ("boards.example.org", "someone-boards.hf.space")
    assert Settings.from_environment(variables).hosts == names
    assert Settings.from_environment({"SPACE_HOST": "someone-boards.hf.space"}).hosts == ()


def test_only_this_machine_reaches_a_loopback_address() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"):
        assert Settings(host=host).local, host
    for host in ("0.0.0.0", "::", "192.168.1.5", "fe80::1", "boards.example.org"):
        assert not Settings(host=host).local, host
