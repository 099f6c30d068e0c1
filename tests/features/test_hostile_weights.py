"""No folder of weights can make code of its own run, ask a question or wait, whichever model it is given to."""

from __future__ import annotations

import builtins
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import CARDS, FeatureError, load
from features.foreign import nothing_foreign
from features.regions import detector
from features.weights import load_tensor_file
from tests.features import tiny, tiny_captioners

FAMILIES = ("bert", "dinov2", "blip2", "vilt", "lxmert", "blip", "git", "blip2_captions", "llava", "clip", "timm")
CHECKPOINTS = ("clip_prefix", "clip_reward", "region_captions")


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """LXMERT looks for regions before weights; these need no detector."""
    from features.encoders import lxmert

    monkeypatch.setattr(lxmert, "load_regions", lambda *_: None)


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input would say yes to everything; whoever asks fails the test."""

    def ask(*_: Any) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr(builtins, "input", ask)


def code(folder: Path) -> Path:
    """`levee.py` in the folder, which leaves a mark where it is imported; returns the mark."""
    mark = folder.parent / "ran"
    (folder / "levee.py").write_text(
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import PretrainedConfig, PreTrainedModel\n"
        "class LeveeConfig(PretrainedConfig):\n    model_type = 'levee'\n"
        "class LeveeModel(PreTrainedModel):\n    config_class = LeveeConfig\n"
        "class LeveeTokenizer:\n    pass\n",
        encoding="utf-8",
    )
    return mark


def own_code(folder: Path) -> Path:
    """Every configuration that a library reads names code that lies beside it."""
    names = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor", "AutoModelForCausalLM")
    auto = {name: f"levee.Levee{'Config' if name == 'AutoConfig' else 'Model'}" for name in names}
    auto["AutoTokenizer"] = ["levee.LeveeTokenizer", None]
    for file, said in (
        ("config.json", {"model_type": "levee", "architecture": "levee"}),
        ("tokenizer_config.json", {"tokenizer_class": "LeveeTokenizer"}),
        ("processor_config.json", {"processor_class": "LeveeModel"}),
        ("preprocessor_config.json", {"image_processor_type": "LeveeModel"}),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"hf_model_name": str(folder)}, "vision_cfg": {}}}),
    ):
        said = {**said, "auto_map": auto, "trust_remote_code": True}
        (folder / file).write_text(json.dumps(said), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return code(folder)


def torchscript(path: Path) -> Path:
    """An archive as `torch.jit.save` writes it, around a module whose code would run."""
    import torch

    class Levee(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows * self.weight

    torch.jit.script(Levee()).save(str(path))
    return path


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize("model", [*FAMILIES, *CHECKPOINTS])
def test_code_beside_the_weights_never_runs(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    mark = own_code(folder)
    with pytest.raises(FeatureError):
        load(CARDS[model], pretrained=str(folder))
    assert not mark.exists()
    assert not capsys.readouterr().out


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize("model", ["bert", "dinov2", "blip", "llava", "vilt", "lxmert"])
def test_the_sentence_says_that_code_is_wanted(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    own_code(folder)
    with pytest.raises(FeatureError, match="need code of their own, which is never run"):
        load(CARDS[model], pretrained=str(folder))


@pytest.mark.parametrize("where", ["tokenizer_kwargs", "text_cfg", "preprocess_cfg"])
def test_a_clip_folder_cannot_ask_for_its_code(where: str, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    tiny.save_clip(folder)
    mark = code(folder)
    config = folder / "open_clip_config.json"
    said = json.loads(config.read_text(encoding="utf-8"))
    text = said["model_cfg"]["text_cfg"]
    place = {"tokenizer_kwargs": text.setdefault("tokenizer_kwargs", {}), "text_cfg": text}.get(where)
    (said.setdefault("preprocess_cfg", {}) if place is None else place)["trust_remote_code"] = True
    text["hf_tokenizer_name"] = "levee"
    config.write_text(json.dumps(said), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["levee.LeveeTokenizer", None]}}), encoding="utf-8"
    )
    with pytest.raises(FeatureError, match="trust_remote_code"):
        load(CARDS["clip"], pretrained=str(folder))
    assert not mark.exists()


def test_a_text_tower_of_a_clip_folder_brings_no_code(tmp_path: Path) -> None:
    """open_clip asks transformers for it without saying whether code is trusted."""
    folder = tmp_path / "clip"
    folder.mkdir()
    tiny.save_clip(folder)
    mark = own_code(folder)
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder)},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}), encoding="utf-8")
    with pytest.raises(FeatureError):
        load(CARDS["clip"], pretrained=str(folder))
    assert not mark.exists()


SAVERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "bert": (lambda folder: tiny.save_text_model(folder, "bert"), "pytorch_model.bin"),
    "dinov2": (tiny.save_vit, "pytorch_model.bin"),
    "clip": (tiny.save_clip, "open_clip_pytorch_model.bin"),
    "blip": (tiny_captioners.save_blip, "pytorch_model.bin"),
    "clip_prefix": (lambda folder: folder, "model.pt"),
    "clip_reward": (lambda folder: folder, "model.pth"),
    "region_captions": (lambda folder: folder, "model.ckpt"),
}


@pytest.mark.parametrize("model", sorted(SAVERS))
@pytest.mark.parametrize("style", ["script", "constants", "prefixed"])
def test_a_torchscript_archive_is_refused_before_torch_sees_it(
    model: str, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    save, name = SAVERS[model]
    save(tmp_path)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    if style == "script":
        torchscript(tmp_path / name)
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("levee/data.pkl", b"\x80\x02}.")
            archive.writestr("levee/constants.pkl" if style == "constants" else "levee/code/__torch__.py", b"")
    if style == "prefixed":
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"#!" + whole)
    seen = []
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: seen.append(a))
    monkeypatch.setattr(torch, "load", lambda *a, **k: seen.append(a))
    chosen = {"scorer": str(tmp_path)} if model == "clip_prefix" else {}
    if model == "clip_prefix":
        # its CLIP model is read first, and lies elsewhere
        from features.encoders import clip

        monkeypatch.setattr(clip, "load", lambda **_: None)
    with pytest.raises(FeatureError, match="TorchScript"):
        load(CARDS[model], pretrained=str(tmp_path), options=chosen)
    assert not seen


def test_single_files_are_checked_too(tmp_path: Path) -> None:
    path = torchscript(tmp_path / "detector.pth")
    with pytest.raises(FeatureError, match="TorchScript"):
        load_tensor_file(path)
    with pytest.raises(FeatureError, match="TorchScript"):
        detector.load(f"fasterrcnn_resnet50_fpn/{path}", "cpu")


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file")
def test_torch_itself_is_kept_from_code_while_loading(tmp_path: Path) -> None:
    """A file that no check of ours saw, as one that a library downloads on its way."""
    import torch

    path = torchscript(tmp_path / "late.bin")
    with nothing_foreign(), pytest.raises(FeatureError, match="TorchScript"):
        torch.load(path)
    with nothing_foreign(), path.open("rb") as stream, pytest.raises((FeatureError, RuntimeError)):
        torch.load(stream)
    assert torch.jit.load(str(path)) is not None
