"""The products of patches/h100-moe under Triton's interpreter: its kernels against the formula, and its layer against
the task's oracle through the functions of the installed vLLM. What a GPU makes of it is not here."""

import json

import pytest
from engine.real_engine import only
from packs.interpreting import PATCHES, lines_of

PROGRAM = "interpret_h100_moe_products.py"
TABLE = PATCHES / "h100-moe" / "tiles.json"


def test_the_products_are_right_and_their_operators_are_sound() -> None:
    lines = lines_of(PROGRAM, "h100-moe")
    each = {"gate_up": 8, "gate_up described": 3, "down": 8, "down described": 7, "both packed": 2}
    expected = {
        f"{what} torch.{dtype} True": count for what, count in each.items() for dtype in ("bfloat16", "float16")
    }
    assert lines == {"opcheck SUCCESS": 7, **expected}


@pytest.mark.engine
@only("vllm")
def test_the_layer_is_right_between_the_engines_own_functions() -> None:
    lines = lines_of(PROGRAM, "h100-moe", arguments=["whole"])
    whole = {line: count for line, count in lines.items() if line.startswith("whole")}
    # float16: of the oracle's samples two of SiLU on one rank, then a decode step and one token, whose tiles divide the
    # weights. GELU and other ranks' experts are declined, and float32, and what nobody has measured.
    assert whole == {
        "whole float16 True": 4,
        "whole float16 declined": 3,
        "whole float16 described True": 4,
        "whole float16 described declined": 3,
        "whole packed True": 4,
        "whole packed declined": 3,
        "whole described 8": 1,
        "whole float32 declined": 7,
        "whole unmeasured declined": 7,
        "whole w1_bias False": 1,
        "whole _lora_context False": 1,
        "whole activation_config False": 1,
    }


def test_the_measured_tiles_fit_each_other() -> None:
    tables = [rows for shapes in json.loads(TABLE.read_text()).values() for rows in shapes.values()]
    assert tables
    for rows in tables:
        assert rows["1"] is None, "below what was measured the engine's own kernels run"
        for tiles in filter(None, rows.values()):
            first, second = tiles["first"]["tile"], tiles["second"]["tile"]
            assert len(first) == len(second) == 6
            assert first[0] == second[0], "the pairs are sorted once, for one BLOCK_M"
