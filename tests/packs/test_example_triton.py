"""patches/example-triton under Triton's interpreter, against the oracles of its tasks."""

from packs.interpreting import lines_of


def test_kernels_agree_with_the_oracles_and_their_operators_are_sound() -> None:
    lines = lines_of("interpret_example_triton.py", "example-triton")
    assert not [line for line in lines if "False" in line or ("opcheck" in line and not line.endswith(" SUCCESS"))]
    for task in ("rms_norm", "silu_and_mul"):
        assert lines[f"{task} opcheck SUCCESS"] >= 2
        assert lines[f"{task} bfloat16 True"] >= 3
        assert lines[f"{task} float32 True"] >= 3
    assert lines["rms_norm bfloat16 True True"] >= 3, "with a residual there are two results"
    assert lines["rms_norm bfloat16 declined"] == 1, "a norm without weight is the engine's"
