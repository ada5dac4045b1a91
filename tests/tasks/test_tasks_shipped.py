"""Every shipped task: a sound oracle, the target's own parameters, and contracts that tell releases apart."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
from pathlib import Path

import pytest
import torch

from fk_overlay import catalog
from fk_overlay.contract.check import check
from fk_overlay.contract.compare import compare
from fk_overlay.contract.store import admitted, contract_for, read
from fk_overlay.core import Task
from fk_overlay.integrity.discriminate import lint
from fk_overlay.integrity.oracle import load_oracle

FOLDER = Path(catalog.__file__).parents[1] / "tasks"
TASKS = {path.parent.name: catalog.load_task(path) for path in sorted(FOLDER.glob("L[1-4]/*/task.toml"))}
RELEASES = {"vllm": ("0.26.0", "0.32.0"), "sglang": ("0.5.17", "0.5.18", "0.5.21", "0.5.23")}
EVERY_RELEASE = [(engine, release) for engine, releases in RELEASES.items() for release in releases]
VLLM_ONLY = {"ir_rms_norm", "ir_fused_add_rms_norm", "moe_activation"}
"""SGLang has no operators of an intermediate representation, and its experts call the activation of dense layers."""
CALLED_ITS_OWN_WAY = {"fused_experts", "llama_decoder_layer", "moe_sum", "moe_topk_routing", "topk_topp_sampling"}
"""Tasks whose patches name the engines that they are for: SGLang calls these places in a way of its own."""

SAME_SINCE_0_26 = {
    "gelu_and_mul",
    "gemma_rms_norm",
    "ir_fused_add_rms_norm",
    "ir_rms_norm",
    "llama_attention",
    "llama_decoder_layer",
    "moe_topk_routing",
    "rms_norm",
    "rotary_embedding",
    "silu_and_mul",
}
BODY_CHANGED = {
    "vllm.model_executor.layers.fused_moe.experts.triton_moe:TritonExperts.activation",
    "vllm.model_executor.layers.fused_moe.experts.triton_moe:TritonExperts.apply",
    "vllm.model_executor.layers.fused_moe.experts.triton_moe:TritonExperts.moe_sum",
    "vllm.model_executor.layers.fused_moe.moe_align_block_size:moe_align_block_size",
    "vllm.model_executor.layers.linear:UnquantizedLinearMethod.apply",
    "vllm.model_executor.layers.vocab_parallel_embedding:UnquantizedEmbeddingMethod.apply",
    "vllm.model_executor.layers.vocab_parallel_embedding:VocabParallelEmbedding.forward",
    "vllm.model_executor.models.llama:LlamaForCausalLM",
    "vllm.model_executor.models.llama:LlamaMLP.forward",
    "vllm.model_executor.models.qwen3_moe:Qwen3MoeSparseMoeBlock.forward",
    "vllm.v1.sample.ops.topk_topp_sampler:apply_top_k_top_p",
}

every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
DESCRIBED = [
    pytest.param(task, engine, release, id=f"{task.name}-{engine}-{release}")
    for task in TASKS.values()
    for engine, release in EVERY_RELEASE
    if engine == "vllm" or task.name not in VLLM_ONLY
]
every_description = pytest.mark.parametrize(("task", "engine", "release"), DESCRIBED)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def parameters(signature: str) -> list[str]:
    function = ast.parse(f"def _{signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    return [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


@every_task
def test_the_oracle_tells_right_from_wrong(task: Task) -> None:
    assert [str(problem) for problem in lint(task)] == []


@every_task
@pytest.mark.parametrize("release", RELEASES["vllm"])
def test_the_oracle_can_be_called_as_the_target_is(task: Task, release: str) -> None:
    names = inspect.signature(load_oracle(task).reference).parameters
    oracle = list(names)[1:]
    for wanted in calls(task, "vllm", release):
        assert oracle[: len(wanted)] == wanted
        assert all(names[name].default is not inspect.Parameter.empty for name in oracle[len(wanted) :])


@pytest.mark.parametrize(
    "task", [task for task in TASKS.values() if task.name not in VLLM_ONLY], ids=lambda task: task.name
)
@pytest.mark.parametrize("release", RELEASES["sglang"])
def test_a_patch_that_takes_more_serves_both_engines(task: Task, release: str) -> None:
    """What the oracle must be given comes first in SGLang too, or the task is known to be called in another way."""
    parameters = list(inspect.signature(load_oracle(task).reference).parameters.values())[1:]
    required = [each.name for each in parameters if each.default is inspect.Parameter.empty]
    found = calls(task, "sglang", release)
    assert found or task.level == "L4"
    alike = all(wanted[: len(required)] == required for wanted in found)
    assert alike != (task.name in CALLED_ITS_OWN_WAY)


def calls(task: Task, engine: str, release: str) -> list[list[str]]:
    """The parameters of every place of the task's targets, without ``self``; a model class has none."""
    contract = contract_for(task, engine, release)
    places = [place for target in admitted(task, engine, release) if target.seam != "model" for place in target.places]
    return [[name for name in parameters(contract.places[place].signature) if name != "self"] for place in places]


@every_description
def test_there_is_a_target_and_a_contract_for_every_release(task: Task, engine: str, release: str) -> None:
    contract = next(each for each in read(task.folder) if (each.engine, each.version) == (engine, release))
    places = {place for target in admitted(task, engine, release) for place in target.places}
    assert places
    assert contract.places.keys() == places


@every_task
def test_no_contract_is_left_over(task: Task) -> None:
    engines = ("vllm",) if task.name in VLLM_ONLY else RELEASES
    wanted = {(engine, release) for engine, release in EVERY_RELEASE if engine in engines}
    assert {(contract.engine, contract.version) for contract in read(task.folder)} == wanted


@every_description
def test_targets_of_one_release_share_one_call(task: Task, engine: str, release: str) -> None:
    """One ``forward`` serves all of a task's targets: they differ at most in what comes last."""
    found = calls(task, engine, release)
    longest = max(found, key=len, default=[])
    assert all(call == longest[: len(call)] for call in found)


def test_the_known_drift_between_releases_shows() -> None:
    changed = {}
    for name, task in TASKS.items():
        old, new = (each for each in read(task.folder) if each.engine == "vllm")
        for place in old.places.keys() & new.places.keys():
            changed[place] = (name, compare(old.places[place], new.places[place]))
    assert {place for place, (_, change) in changed.items() if change.state != "same"} == BODY_CHANGED
    assert {change.state for place, (_, change) in changed.items() if place in BODY_CHANGED} == {"body"}
    unchanged = {name for name in TASKS if all(change.state == "same" for it, change in changed.values() if it == name)}
    assert unchanged == SAME_SINCE_0_26
    _, align = changed["vllm.model_executor.layers.fused_moe.moe_align_block_size:moe_align_block_size"]
    assert align.detail.endswith("; +{return_scatter_idx: bool = False}")


def test_every_contract_matches_the_installed_engine() -> None:
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed, so there is no source to compare the contracts with")
    distribution = importlib.metadata.packages_distributions()["vllm"][0]
    version = importlib.metadata.version(distribution)
    findings = check(TASKS.values(), "vllm", version, Path(spec.origin).parents[1])
    if contract_for(TASKS["rms_norm"], "vllm", version).version != version.partition("+")[0]:
        pytest.skip(f"no contract was taken from vLLM {version}")
    assert len(findings) >= len(TASKS)
    assert [finding for finding in findings if finding.state != "same"] == []


def test_moe_align_reproduces_the_example_of_its_docstring() -> None:
    ids = torch.tensor([[2, 3, 4], [1, 2, 4], [1, 3, 4], [1, 2, 3]], dtype=torch.int32)
    pairs, experts, used = load_oracle(TASKS["moe_align"]).reference(None, ids, 4, 5)
    assert pairs[:16].tolist() == [3, 6, 9, 12, 0, 4, 10, 12, 1, 7, 11, 12, 2, 5, 8, 12]
    assert experts[:4].tolist() == [1, 2, 3, 4]
    assert used.tolist() == [16]


def test_there_is_a_task_for_every_level() -> None:
    assert {task.level for task in TASKS.values()} == {"L1", "L2", "L3", "L4"}
    assert len(TASKS) >= 16
