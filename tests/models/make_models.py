"""Trains the two checkpoints beside this file: ``python tests/models/make_models.py tiny-llama tiny-qwen3-moe``.

They are small enough to check in and certain enough to compare engines token by token: whatever the prompt is, one
continuation is much likelier than the others. Two things are taught at once.

*Text*: :data:`TEXT` by heart, in a circle.
*Rule*: anywhere else the next token is what a fixed permutation (:func:`successors`) makes of the token three places
back. It holds after any random tokens, and only attention can supply that token.

Labels are smoothed, so that log-probabilities stay away from zero and a slightly wrong kernel moves them.
They hold for contexts of up to 384 tokens, the length they are trained at. Needs ``torch``, ``transformers`` and
``tokenizers``, and this repository on the path; less than three minutes a model on one core.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch

from fk_overlay.engines.byte_tokenizer import save_byte_tokenizer

TEXT = """\
A kernel is a small program that runs many times. It reads numbers, works on them, and writes numbers back.
To make a model fast, people rewrite its kernels; to know whether that helped, they must measure the whole engine.
One, two, three, four, five, six, seven, eight, nine, ten. Monday comes before Tuesday, and June before July.
A fast answer that is wrong is not fast. Measure twice, change one thing, and write down what you saw.
"""
VOCAB, LENGTH, BATCH, DISTANCE = 320, 384, 6, 3
SMOOTHING = 0.1
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
}
BALANCE = 0.02
"""Weight of the load-balancing loss, without which training uses few of the experts."""


def successors() -> torch.Tensor:
    """The rule's next token by token, shape [VOCAB].

    Ids from 97, which are not printable ASCII, follow each other in one long cycle; the ids below lead into it.
    """
    generator = torch.Generator().manual_seed(7)
    table = torch.randint(97, VOCAB, (VOCAB,), generator=generator)
    cycle = torch.randperm(VOCAB - 97, generator=generator) + 97
    table[cycle] = cycle.roll(-1)
    return table


def rule_batch(size: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels [size, length]: random tokens up to a random place, then the rule; labels by the rule."""
    table = successors()
    tokens = torch.randint(0, VOCAB, (size, length), generator=generator)
    begin = torch.randint(DISTANCE, length, (size,), generator=generator)
    for place in range(DISTANCE, length):
        tokens[:, place] = torch.where(begin <= place, table[tokens[:, place - DISTANCE]], tokens[:, place])
    labels = torch.full((size, length), -100)
    labels[:, DISTANCE - 1 :] = table[tokens[:, : length - DISTANCE + 1]]
    return tokens, labels


def text_batch(
    text: torch.Tensor, size: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels [size, length]: windows of the text, which goes round."""
    begin = torch.randint(0, len(text), (size, 1), generator=generator)
    window = text[(begin + torch.arange(length + 1)) % len(text)]
    return window[:, :-1], window[:, 1:]


def train(model: Any, text: torch.Tensor, steps: int) -> None:
    """Teach text and rule together."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    began = time.monotonic()
    for step in range(steps):
        parts = (rule_batch(BATCH // 2, LENGTH, generator), text_batch(text, BATCH // 2, LENGTH, generator))
        tokens, labels = (torch.cat(kind) for kind in zip(*parts, strict=True))
        output = model(input_ids=tokens, use_cache=False)
        loss = torch.nn.functional.cross_entropy(
            output.logits.flatten(0, 1), labels.flatten(), label_smoothing=SMOOTHING, ignore_index=-100
        )
        (loss + BALANCE * getattr(output, "aux_loss", 0.0)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.monotonic() - began:.0f} s", flush=True)


def build(name: str) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    if name == "tiny-llama":
        return LlamaForCausalLM(LlamaConfig(**SHAPE))
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SHAPE, **EXPERTS, output_router_logits=True))


def make(name: str, folder: Path, steps: int) -> None:
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    save_byte_tokenizer(folder, VOCAB)
    model = build(name)
    text = torch.tensor(AutoTokenizer.from_pretrained(folder)(TEXT).input_ids)
    train(model, text, steps)
    model.config.output_router_logits = False
    model.to(torch.bfloat16).save_pretrained(folder)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=("tiny-llama", "tiny-qwen3-moe"))
    parser.add_argument("--steps", type=int, default=750)
    arguments = parser.parse_args()
    for name in arguments.names:
        make(name, Path(__file__).parent / name, arguments.steps)


if __name__ == "__main__":
    main()
