"""The stored releases tell what is known to have moved in them, and agree with the shipped tasks."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from fk_overlay import catalog
from fk_overlay.contract import archive
from fk_overlay.contract.check import CALLABLE, Finding
from fk_overlay.contract.drift import drift
from fk_overlay.contract.release import Release, shortened
from fk_overlay.contract.store import read, write
from fk_overlay.core import Contract, Target, Task

SHIPPED = Path(catalog.__file__).parents[1]
FOLDERS = [SHIPPED / archive.FOLDER]
TASKS = [catalog.load_task(path) for path in sorted(SHIPPED.glob("tasks/L[1-4]/*/task.toml"))]
STORED = {
    "sglang": ["0.5.17", "0.5.18", "0.5.21", "0.5.23"],
    "vllm": ["0.26.0", "0.28.0", "0.30.0", "0.32.0", "0.33.0"],
}
RELEASES = [f"{engine}=={version}" for engine, versions in STORED.items() for version in versions]
MOE = "vllm.model_executor.layers.fused_moe"
SGLANG = "sglang.srt.layers"
KIMI = "vllm.models.kimi_k3.amd.linear:KimiDecoderLayer.forward"


@lru_cache(maxsize=4)
def release(wanted: str) -> Release:
    return archive.load(wanted, FOLDERS)


def earlier(engine: str, version: str) -> Release | None:
    return release(f"{engine}=={version}") if version in STORED[engine] else None


def followed(place: str, since: str, to: str, folder: Path) -> Finding:
    """What became of a place since a release, told by a task that was written for that one."""
    engine, _, version = since.partition("==")
    fingerprint = release(since).get(place)
    assert fingerprint is not None
    target = Target(engine, f">={version}", place, "function")
    task = Task("followed", "L1", "A place.", ("dense",), (target,), folder=folder)
    write(folder, Contract(engine, version, {place: fingerprint}))
    (finding,) = drift([task], release(to), earlier)
    return finding


def test_these_releases_are_stored_and_small() -> None:
    assert archive.stored(FOLDERS) == STORED
    sizes = {path.name.partition(".")[0]: path.stat().st_size for path in FOLDERS[0].iterdir()}
    assert sizes.keys() == STORED.keys()
    assert sum(sizes.values()) < 300_000 * len(RELEASES)


@pytest.mark.parametrize("member", ["forward_native", "forward_cuda"])
def test_the_norm_of_sglang_takes_the_linear_layer_behind_it_since_0_5_18(member: str, tmp_path: Path) -> None:
    place = f"{SGLANG}.layernorm:RMSNorm.{member}"
    found = followed(place, "sglang==0.5.17", "sglang==0.5.18", tmp_path)
    assert found.state in ("compatible", "body")
    assert found.detail.endswith("+{quant_linear: Optional[nn.Module] = None}")
    assert found.diff[-1] == "+quant_linear: Optional[nn.Module] = None"
    assert followed(place, "sglang==0.5.18", "sglang==0.5.18", tmp_path).state == "same"


def test_the_op_class_of_sglang_dispatches_in_its_base_class_since_0_5_18(tmp_path: Path) -> None:
    place = f"{SGLANG}.utils.multi_platform:MultiPlatformOp.forward"
    found = followed(place, "sglang==0.5.17", "sglang==0.5.18", tmp_path)
    assert found.state == "moved"
    assert "inherited from sglang.kernels.fused_op:BaseFusedOp.forward" in found.detail


@pytest.mark.parametrize("qualname", ["LayerCommunicator", "LayerCommunicator.prepare_attn"])
@pytest.mark.parametrize(("version", "state"), [("0.5.18", None), ("0.5.21", "gone"), ("0.5.23", "gone")])
def test_the_layer_communicator_of_sglang_is_gone_by_0_5_21(
    qualname: str, version: str, state: str | None, tmp_path: Path
) -> None:
    found = followed(f"{SGLANG}.communicator:{qualname}", "sglang==0.5.17", f"sglang=={version}", tmp_path)
    assert (found.state == "gone") is (state == "gone")
    assert ("there is no module sglang.srt.layers.communicator any more" in found.detail) is (state == "gone")


@pytest.mark.parametrize("version", ["0.28.0", "0.30.0", "0.32.0", "0.33.0"])
def test_fused_moe_of_vllm_is_gone_since_0_28(version: str, tmp_path: Path) -> None:
    assert followed(f"{MOE}.layer:FusedMoE", "vllm==0.26.0", f"vllm=={version}", tmp_path).state == "gone"


def test_the_moe_classes_of_vllm_0_32_have_their_known_signatures(tmp_path: Path) -> None:
    runner = followed(f"{MOE}.runner.moe_runner:MoERunner.forward", "vllm==0.26.0", "vllm==0.32.0", tmp_path)
    assert runner.state == "body"
    assert "+{shared_experts_input: torch.Tensor | None = None}" in runner.detail
    experts = followed(f"{MOE}.routed_experts:RoutedExperts", "vllm==0.26.0", "vllm==0.32.0", tmp_path)
    assert "+{is_fused_checkpoint_transposed: bool = False}" in experts.detail
    kernel = f"{MOE}.modular_kernel:FusedMoEKernel.apply"
    assert release("vllm==0.32.0").get(kernel) is not None
    assert release("vllm==0.32.0").named("FusedMoEModularKernel") == []


def test_the_decoder_layer_of_kimi_moved_in_vllm_0_28(tmp_path: Path) -> None:
    place = "vllm.model_executor.models.kimi_linear:KimiDecoderLayer.forward"
    found = followed(place, "vllm==0.26.0", "vllm==0.32.0", tmp_path)
    assert found.state == "moved"
    assert found.detail.startswith(f"it is now at {KIMI}, ")
    assert found.diff[-2] == "+prefix_delta: torch.Tensor | None = None"


@pytest.mark.parametrize("wanted", RELEASES)
def test_contracts_and_the_index_of_their_release_say_the_same(wanted: str) -> None:
    engine, _, version = wanted.partition("==")
    contracts = [contract for task in TASKS for contract in read(task.folder)]
    for contract in contracts:
        if (contract.engine, contract.version) == (engine, version):
            for place, fingerprint in contract.places.items():
                assert release(wanted).get(place) == shortened(fingerprint), place


@pytest.mark.parametrize("wanted", RELEASES)
def test_tasks_fit_every_stored_release_that_they_admit(wanted: str) -> None:
    engine = wanted.partition("==")[0]
    tasks = [task for task in TASKS if any(target.engine == engine for target in task.targets)]
    findings = drift(tasks, release(wanted), earlier) if tasks else []
    assert [finding for finding in findings if not finding.outside and finding.state not in CALLABLE] == []
