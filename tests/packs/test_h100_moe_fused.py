"""patches/h100-moe-fused under Triton's interpreter: its kernel against the formula, and its layer against the task's
oracle through the functions of the installed vLLM. What a GPU makes of it is not here."""

import pytest
from engine.real_engine import only
from packs.interpreting import lines_of

PROGRAM = "interpret_h100_moe_fused.py"


def test_the_first_product_is_right_and_its_operator_is_sound() -> None:
    lines = lines_of(PROGRAM, "h100-moe-fused")
    expected = {"opcheck SUCCESS": 2, "gate_up torch.bfloat16 True": 8, "gate_up torch.float16 True": 8}
    assert lines == expected


@pytest.mark.engine
@only("vllm")
def test_the_layer_is_right_between_the_engines_own_functions() -> None:
    lines = lines_of(PROGRAM, "h100-moe-fused", "h100-moe")
    whole = {line: count for line, count in lines.items() if line.startswith("whole")}
    # float16: of the oracle's samples two of SiLU on one rank, then a decode step and one token. GELU and other ranks'
    # experts are declined, and float32.
    assert whole == {
        "whole float16 True": 4,
        "whole float16 declined": 3,
        "whole float32 declined": 7,
        "whole w1_bias False": 1,
        "whole _lora_context False": 1,
        "whole activation_config False": 1,
    }
