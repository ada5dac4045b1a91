"""patches/h100-moe under Triton's interpreter, against the oracles of its tasks. What a GPU makes of it is not here."""

import pytest
from packs.interpreting import PATCHES, lines_of

from fk_overlay import catalog, packs
from fk_overlay.errors import PackError
from fk_overlay.packs import Machine

PACK = PATCHES / "h100-moe"
TASKS = ("moe_sum", "moe_activation", "moe_align")


def test_kernels_agree_with_the_oracles_and_their_operators_are_sound() -> None:
    lines = lines_of("interpret_h100_moe.py", "h100-moe")
    assert not [line for line in lines if "False" in line or ("opcheck" in line and not line.endswith(" SUCCESS"))]
    agreed = {dtype: [lines[f"{task} {dtype} True"] for task in TASKS] for dtype in ("bfloat16", "float16", "float32")}
    declined = {dtype: [lines[f"{task} {dtype} declined"] for task in TASKS] for dtype in agreed}
    # At the shapes of served models too; not 17 experts a token, a limit or a GELU, other ranks' experts, 4098 pairs.
    assert (agreed["bfloat16"], declined["bfloat16"]) == ([9, 8, 9], [1, 9, 3])
    assert (agreed["float16"], declined["float16"]) == ([5, 5, 4], [0, 8, 2])
    assert (agreed["float32"], declined["float32"]) == ([0, 0, 4], [5, 13, 2]), "integers have no dtype"
    for task in TASKS:
        assert lines[f"{task} opcheck SUCCESS"] >= 1


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine("vllm", "0.32.0", ("NVIDIA H200",)), r"it needs a GPU of NVIDIA H100\*, here is NVIDIA H200"),
        (Machine("vllm", "0.32.0+cpu", ()), r"it needs a GPU of NVIDIA H100\*, here is none"),
        (Machine("vllm", "0.25.1", ("NVIDIA H100 80GB HBM3",)), r"it needs vllm >=0\.26,<0\.33, this is 0\.25\.1"),
        (Machine("sglang", "0.5.23", ("NVIDIA H100 80GB HBM3",)), "it is for vllm, this is sglang"),
    ],
)
def test_it_is_refused_where_it_was_not_written_for(machine: Machine, reason: str) -> None:
    with pytest.raises(PackError, match=f"pack 'h100-moe' does not run here: .*{reason}"):
        packs.require(catalog.load_pack(PACK), machine)
