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
    first = {"gate_up": 8, "gate_up described": 3, "gate_up joined": 3, "gate_up resident": 2}
    each = {**first, "down": 8, "down described": 7, "down resident": 4, "both packed": 2}
    expected = {
        f"{what} torch.{dtype} True": count for what, count in each.items() for dtype in ("bfloat16", "float16")
    }
    assert lines == {"opcheck SUCCESS": 17, **expected}


@pytest.mark.engine
@only("vllm")
def test_the_layer_is_right_between_the_engines_own_functions() -> None:
    lines = lines_of(PROGRAM, "h100-moe", arguments=["whole"])
    whole = {line: count for line, count in lines.items() if line.startswith("whole")}
    # Of the oracle's samples two of SiLU on one rank, then a decode step and one token, whose tiles divide the weights.
    reasons = ("their activation is gelu", "their activation is gelu_tanh", "they are spread over ranks")
    ways = ("float16", "float16 described", "packed", "resident")
    shapes = ((32, 64, 96, 2), (32, 64, 96, 8), (5, 24, 20, 2), (5, 40, 72, 1))
    unknown = "no tile was measured for {} experts, hidden {}, inner {}, top {} on a machine without a GPU"
    plain = "False they are quantised, have adapters or a bias, or a clamped activation"
    assert whole == {
        **{f"whole {way} True": 4 for way in ways},
        **{f"whole {way} declined: {reason}": 1 for way in ways for reason in reasons},
        "whole described 12": 1,
        "whole float32 declined: their dtypes are torch.float32": 7,
        **{f"whole unmeasured declined: {reason}": 1 for reason in reasons},
        **{f"whole unmeasured declined: {unknown.format(*shape)}": 1 for shape in shapes},
        **{f"whole {part} {plain}": 1 for part in ("w1_bias", "_lora_context", "activation_config")},
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
