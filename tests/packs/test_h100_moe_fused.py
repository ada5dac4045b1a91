"""patches/h100-moe-fused under Triton's interpreter: its kernels against the formula, and its layer against the task's
oracle through the functions of the installed vLLM. What a GPU makes of it is not here."""

import pytest
from engine.real_engine import only
from packs.interpreting import lines_of

PROGRAM = "interpret_h100_moe_fused.py"


def test_the_products_are_right_and_their_operators_are_sound() -> None:
    lines = lines_of(PROGRAM, "h100-moe-fused")
    each = {"gate_up": 8, "gate_up described": 3, "down": 8, "down described": 7}
    expected = {
        f"{what} torch.{dtype} True": count for what, count in each.items() for dtype in ("bfloat16", "float16")
    }
    assert lines == {"opcheck SUCCESS": 5, **expected}


@pytest.mark.engine
@only("vllm")
def test_the_layer_is_right_between_the_engines_own_functions() -> None:
    lines = lines_of(PROGRAM, "h100-moe-fused", "h100-moe")
    whole = {line: count for line, count in lines.items() if line.startswith("whole")}
    # float16: of the oracle's samples two of SiLU on one rank, then a decode step and one token, whose tiles divide the
    # weights. GELU and other ranks' experts are declined, and float32.
    assert whole == {
        "whole float16 True": 4,
        "whole float16 declined": 3,
        "whole float16 described True": 4,
        "whole float16 described declined": 3,
        "whole described 4": 1,
        "whole float32 declined": 7,
        "whole w1_bias False": 1,
        "whole _lora_context False": 1,
        "whole activation_config False": 1,
    }
