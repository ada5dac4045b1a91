"""Turns a quantised Llama checkpoint in one GGUF file into the folder that engines load: bfloat16 safetensors,
configuration, tokenizer and chat template.

Reads the file itself instead of asking transformers, which wants accelerate for it and may import a torchvision that
does not fit the installed torch. Needs ``gguf``, ``safetensors``, ``tokenizers`` and ``torch``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fk_overlay.errors import UsageError

NAMES: Mapping[str, str] = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Tensor names of llama.cpp -> those of transformers' LlamaForCausalLM, without layer prefix and ``.weight``."""

KNOWN = frozenset({("llama", "smollm")})
"""Architecture and the name of the way in which text is split before byte-pair encoding: ``smollm`` takes digits one by
one, then GPT-2's expression."""

CONTROL = 3
"""``tokenizer.ggml.token_type`` of a token that no text can spell."""


def convert(source: Path, folder: Path) -> None:
    """Write the checkpoint of ``source`` into the existing ``folder``.

    Raises:
        UsageError: the file holds another architecture or tokenizer than a Llama with byte-level BPE.
    """
    from gguf import GGUFReader

    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    found = (fields["general.architecture"], fields.get("tokenizer.ggml.pre"))
    if found not in KNOWN:
        raise UsageError(f"{source} holds model and tokenizer {found}; only {sorted(KNOWN)} can be converted")
    tied = all(tensor.name != "output.weight" for tensor in reader.tensors)
    _write(folder / "config.json", _config(fields, tied))
    _write(folder / "generation_config.json", {"bos_token_id": _id(fields, "bos"), "eos_token_id": _id(fields, "eos")})
    _save_tokenizer(fields, folder)
    _save_weights(reader.tensors, fields, folder)


def _config(fields: Mapping[str, Any], tied: bool) -> dict[str, Any]:
    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.embedding_length"] // heads,
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": round(fields["llama.attention.layer_norm_rms_epsilon"], 12),
        "rope_theta": fields["llama.rope.freq_base"],
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": _id(fields, "bos"),
        "eos_token_id": _id(fields, "eos"),
        "pad_token_id": _id(fields, "padding"),
    }


def _save_tokenizer(fields: Mapping[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    control = [token for token, kind in kinds if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    }
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    _write(folder / "tokenizer_config.json", settings | {key: tokens[_id(fields, role)] for key, role in names.items()})


def _save_weights(tensors: Any, fields: Mapping[str, Any], folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights = {name: torch.from_numpy(values).to(torch.bfloat16) for name, values in _weights(tensors, fields)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _weights(tensors: Any, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every tensor by its new name, as a contiguous writable float32 array."""
    import numpy as np
    from gguf import dequantize

    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    for tensor in tensors:
        *layer, name, _ = tensor.name.split(".")
        values = dequantize(tensor.data, tensor.tensor_type)
        if name in heads:
            values = _rotate_half_order(values, heads[name])
        prefix = f"model.layers.{layer[1]}." if layer else ""
        yield f"{prefix}{NAMES[name]}.weight", np.array(values, dtype=np.float32, order="C")


def _rotate_half_order(values: Any, heads: int) -> Any:
    """Rows of each head from llama.cpp's interleaved rotary pairs (x0 y0 x1 y1 ...) to halves (x0 x1 ... y0 y1 ...)."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _id(fields: Mapping[str, Any], role: str) -> int:
    number: int = fields[f"tokenizer.ggml.{role}_token_id"]
    return number


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
