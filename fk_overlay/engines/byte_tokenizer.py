"""A tokenizer for models whose text means nothing: one token a byte, the rest of the vocabulary numbered."""

from __future__ import annotations

import json
from pathlib import Path

SPECIAL = ("<s>", "</s>", "<pad>")
"""Tokens 0, 1 and 2: begin, end and padding."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def save_byte_tokenizer(folder: Path, vocab_size: int) -> None:
    """Write a tokenizer of exactly ``vocab_size`` tokens (at least 259) into ``folder``, so that every id has a text.

    Text becomes bytes and never the numbered tokens; those only turn ids that a model samples back into text.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    spelled = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokens = (*spelled, *(f"<{number}>" for number in range(len(spelled), vocab_size)))
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
        **dict(zip(("bos_token", "eos_token", "pad_token"), SPECIAL, strict=True)),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
