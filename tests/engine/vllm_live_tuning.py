"""Run by test_tuning_in_vllm with FK_OVERLAY set, in a process of its own: vLLM's own lookup of kernel configurations,
which its experts make on a GPU only. Prints the answers as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import Any

from vllm.plugins import load_general_plugins


def main() -> None:
    load_general_plugins()
    from vllm.model_executor.layers.fused_moe import fused_moe

    lookups: Any = fused_moe
    answers = []
    for asked in sys.argv[1:]:
        experts, inner, gpu = asked.split(",")
        lookups.get_device_name_as_file_name = lambda name=gpu: name
        chosen = lookups.try_get_optimal_moe_config(
            (int(experts), 2 * int(inner), 128), (int(experts), 128, int(inner)), 2, None, 8
        )
        answers.append(chosen)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
