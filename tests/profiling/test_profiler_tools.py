from __future__ import annotations

from pathlib import Path

import pytest

from fk_overlay.errors import UsageError
from fk_overlay.profiling import tools
from fk_overlay.profiling.limits import Budget, ToolName

NCU = """==PROF== Connected to process 41 (/usr/bin/python3)
==PROF== Disconnected from process 41
"ID","Process ID","Kernel Name","gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",\
"gpu__time_duration.sum","sm__throughput.avg.pct_of_peak_sustained_elapsed"
"","","","%","nsecond","%"
"0","41","rms_norm_kernel","60.0","2,000","10.0"
"1","41","gemm, tiled","20.5","90,000","81.0"
"2","41","rms_norm_kernel","80.0","4,000","30.0"
"""
NSYS = """Generating SQLite file x.sqlite from x.nsys-rep
Processing [x.sqlite] with [nvtx_kern_sum.py]...

NVTX Range,Style,PID,TID,NVTX Inst,Kern Inst,Total Time (ns),Avg (ns),Kernel Name
:fk_overlay::mlp,PushPop,1,1,4,8,8000,1000,gemm
:fk_overlay::silu_and_mul,PushPop,1,1,4,4,12000,3000,silu
:NCCL:all,PushPop,1,1,4,4,1000,250,reduce
"""


@pytest.mark.parametrize(("tool", "package"), [("ncu", "nsight-compute"), ("nsys", "nsight-systems-cli")])
def test_a_missing_tool_says_which_binary_and_how_to_get_it(
    tool: ToolName, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=rf"--tool {tool} needs the binary '{tool}'.*{package}"):
        tools.require(tool)


def test_a_tool_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "ncu"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.require("ncu") == str(binary)


def test_ncu_is_held_to_its_budget_and_leaves_the_engine_its_output(tmp_path: Path) -> None:
    words = tools.ncu_command("ncu", Budget("ncu", "rms.*", skip=3, launches=7), tmp_path / "k.csv")
    said = " ".join(words)
    assert "--kernel-name regex:rms.* --launch-skip 3 --launch-count 7" in said
    assert f"--log-file {tmp_path / 'k.csv'}" in said
    assert all(metric in said for metric in tools.METRICS)


def test_launches_of_a_kernel_are_put_together() -> None:
    gemm, norm = tools.read_ncu(NCU)
    assert (gemm.name, gemm.calls, gemm.us, gemm.achieved) == ("gemm, tiled", 1, 90.0, pytest.approx(0.81))
    assert (norm.name, norm.calls, norm.us) == ("rms_norm_kernel", 2, 6.0)
    assert (norm.compute, norm.memory, norm.achieved) == (pytest.approx(0.2), pytest.approx(0.7), pytest.approx(0.7))


def test_units_of_time_are_honoured() -> None:
    (gemm, _) = tools.read_ncu(NCU.replace("nsecond", "usecond"))
    assert gemm.us == 90_000.0


@pytest.mark.parametrize("text", ["", "==WARNING== No kernels were profiled.\n", "==ERROR== no permission\n"])
def test_ncu_without_a_kernel_is_quoted(text: str) -> None:
    with pytest.raises(UsageError, match=r"measured no kernel; it says: (nothing|==WARNING==|==ERROR==)"):
        tools.read_ncu(text)


def test_nsys_gives_kernels_to_the_ranges_around_them() -> None:
    found = tools.read_nsys(NSYS)
    assert [(kernel.name, kernel.task, kernel.calls, kernel.us) for kernel in found] == [
        ("silu", "silu_and_mul", 4, 12.0),
        ("gemm", "mlp", 8, 8.0),
        ("reduce", "", 4, 1.0),
    ]
    assert found[0].achieved is None


def test_nsys_without_a_table_is_quoted() -> None:
    with pytest.raises(UsageError, match="SKIPPED: no NVTX data"):
        tools.read_nsys("Processing...\nSKIPPED: no NVTX data")
