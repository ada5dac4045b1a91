"""SGLang's function under a name of the pack's own, which the function seam leaves alone."""

from __future__ import annotations

from typing import Any

from sglang.srt.layers.sampler import top_k_top_p_min_p_sampling_from_probs_torch as engine_sample


def sample(
    probs: Any,
    top_ks: Any,
    top_ps: Any,
    min_ps: Any,
    need_min_p_sampling: bool,
    sampling_seed: Any,
    positions: Any,
) -> Any:
    return engine_sample(probs, top_ks, top_ps, min_ps, need_min_p_sampling, sampling_seed, positions)
