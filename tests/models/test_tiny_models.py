"""What the checked-in checkpoints promise: one continuation that is much likelier than any other, in either dtype."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from make_models import DISTANCE, TEXT, VOCAB, successors  # noqa: E402  (needs torch)

NAMES = ("tiny-llama", "tiny-qwen3-moe")
HERE = Path(__file__).parent
STEPS = 32


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(1)
    return transformers.AutoModelForCausalLM.from_pretrained(HERE / request.param, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def prompts() -> Any:
    return torch.randint(0, VOCAB, (12, 32), generator=torch.Generator().manual_seed(21))


def greedy(model: Any, tokens: Any) -> tuple[Any, Any]:
    """Greedy tokens [requests, STEPS] and their margins over the second choice, in nats."""
    begin, margins = tokens.shape[1], []
    with torch.inference_mode():
        for _ in range(STEPS):
            logits = model(tokens, use_cache=False).logits[:, -1].float()
            first, second = logits.topk(2, dim=-1).values.unbind(-1)
            margins.append(first - second)
            tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    return tokens[:, begin:], torch.stack(margins, dim=1)


def test_random_prompts_are_continued_by_the_rule(model: Any, prompts: Any) -> None:
    tokens, margins = greedy(model, prompts)
    sequence = torch.cat((prompts, tokens), dim=1)
    ruled = successors()[sequence[:, prompts.shape[1] - DISTANCE : -DISTANCE]]
    assert (tokens == ruled).float().mean() > 0.98
    assert (margins > 1.0).float().mean() > 0.98


def test_text_is_continued_by_heart(model: Any) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(HERE / NAMES[0])
    text = tokenizer(TEXT).input_ids
    starts = range(0, len(text) - 40 - STEPS, 40)
    tokens, margins = greedy(model, torch.tensor([text[start : start + 40] for start in starts]))
    assert tokens.tolist() == [text[start + 40 : start + 40 + STEPS] for start in starts]
    assert (margins > 1.0).float().mean() > 0.98


def test_bfloat16_chooses_the_same_tokens(model: Any, prompts: Any) -> None:
    half = type(model)(model.config).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    assert torch.equal(greedy(half, prompts)[0], greedy(model, prompts)[0])


def test_every_expert_is_used(prompts: Any) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / "tiny-qwen3-moe", dtype=torch.float32).eval()
    text = torch.tensor(transformers.AutoTokenizer.from_pretrained(HERE / "tiny-qwen3-moe")(TEXT).input_ids[:384])
    scores: list[list[Any]] = [[], []]
    with torch.inference_mode():
        for tokens in (text[None], torch.cat((prompts, greedy(model, prompts)[0]), dim=1)):
            for layer, found in zip(scores, model(tokens, output_router_logits=True).router_logits, strict=True):
                layer.append(found)
    for layer in scores:
        chosen = torch.cat(layer).topk(2, dim=-1).indices.flatten()
        used = torch.bincount(chosen, minlength=8) / (len(chosen) / 2)
        assert used.min() > 0.02, used


@pytest.mark.parametrize("name", NAMES)
def test_engines_find_what_they_need(name: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(HERE / name)
    assert len(tokenizer) == transformers.AutoConfig.from_pretrained(HERE / name).vocab_size == VOCAB
    assert transformers.GenerationConfig.from_pretrained(HERE / name).eos_token_id == 1
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<s>user: hi</s><s>assistant: "
    assert sum(path.stat().st_size for path in (HERE / name).iterdir()) < 2_000_000
