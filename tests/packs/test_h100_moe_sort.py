"""The sort of patches/h100-moe under Triton's interpreter, against the oracle of its task. What a GPU makes of it is
not here."""

import pytest
from packs.interpreting import PATCHES, lines_of

from fk_overlay import catalog, packs
from fk_overlay.errors import PackError
from fk_overlay.packs import Machine

PACK = PATCHES / "h100-moe"
GPUS = r"NVIDIA H100\*, NVIDIA H200\*"


def test_it_agrees_with_the_oracle_and_its_operator_is_sound() -> None:
    lines = lines_of("interpret_h100_moe_sort.py", "h100-moe")
    ranks = "the experts are spread over ranks"
    # In one launch and in three.
    assert lines == {"opcheck SUCCESS": 2, "samples True": 4, "served True": 7, f"samples declined: {ranks}": 2}


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine("vllm", "0.32.0", ("NVIDIA A100-SXM4-80GB",)), rf"it needs a GPU of {GPUS}, here is NVIDIA A100"),
        (Machine("vllm", "0.32.0+cpu", ()), rf"it needs a GPU of {GPUS}, here is none"),
        (Machine("vllm", "0.25.1", ("NVIDIA H100 80GB HBM3",)), r"it needs vllm >=0\.26,<0\.33, this is 0\.25\.1"),
        (Machine("sglang", "0.5.23", ("NVIDIA H100 80GB HBM3",)), "it is for vllm, this is sglang"),
    ],
)
def test_it_is_refused_where_it_was_not_written_for(machine: Machine, reason: str) -> None:
    with pytest.raises(PackError, match=f"pack 'h100-moe' does not run here: .*{reason}"):
        packs.require(catalog.load_pack(PACK), machine)
