"""A small Llama is written as llama.cpp would and must come back as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fk_overlay.engines.gguf_llama import NAMES, convert
from fk_overlay.errors import UsageError

gguf = pytest.importorskip("gguf")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HEADS, GROUPS, VOCAB = 4, 2, 262
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def small_llama() -> Any:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        max_position_embeddings=128,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()


def write_gguf(model: Any, path: Path, split: str = "smollm") -> None:
    """What llama.cpp's converter writes for ``model``: rotary pairs interleaved, its own names, float32."""
    from tokenizers import pre_tokenizers

    writer, config = gguf.GGUFWriter(path, "llama"), model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_token_list(["<unk>", "<s>", "</s>", *alphabet, "he", "12", "Ġhe"])
    writer.add_token_types([3] * 3 + [1] * (VOCAB - 3))
    writer.add_token_merges(["h e", "1 2", "Ġ he"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    theirs = {ours: name for name, ours in NAMES.items()}
    for name, values in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        *layer, ours = name.removesuffix(".weight").removeprefix("model.layers.").split(".", 1)
        array = values.float().numpy()
        if name.startswith("model.layers."):
            short = theirs[ours]
            if short in ("attn_q", "attn_k"):
                heads = HEADS if short == "attn_q" else GROUPS
                array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
            writer.add_tensor(f"blk.{layer[0]}.{short}.weight", np.ascontiguousarray(array))
        else:
            writer.add_tensor(f"{theirs[name.removesuffix('.weight')]}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("converted")
    model, source = small_llama(), tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(model, source)
    convert(source, folder)
    return model, folder


def test_weights_come_back_exactly(converted: tuple[Any, Path]) -> None:
    model, folder = converted
    found = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert found.dtype is torch.bfloat16
    wanted = model.state_dict()
    for name, values in found.state_dict().items():
        assert torch.equal(values, wanted[name]), name


def test_the_model_computes_the_same(converted: tuple[Any, Path]) -> None:
    """Also holds rotary base, epsilon and head counts of the configuration to account."""
    model, folder = converted
    found = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    wanted = transformers.LlamaForCausalLM(model.config).float().eval()
    wanted.load_state_dict(model.state_dict())
    tokens = torch.arange(3, 40)[None]
    with torch.inference_mode():
        assert torch.equal(found(tokens).logits, wanted(tokens).logits)


def test_text_is_split_before_it_is_merged(converted: tuple[Any, Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(converted[1])
    assert tokenizer.tokenize("he he 12") == ["he", "Ġhe", "Ġ", "1", "2"]
    assert tokenizer.decode(tokenizer("he 12é").input_ids) == "he 12é"
    assert tokenizer("</s>").input_ids == [2]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "he"}], tokenize=False) == "he"


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gguf(small_llama(), tmp_path / "model.gguf", split="qwen2")
    with pytest.raises(UsageError, match="qwen2"):
        convert(tmp_path / "model.gguf", tmp_path)
