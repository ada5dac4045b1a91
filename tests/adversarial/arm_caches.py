"""Files that one arm's engine leaves in its caches, looked for by another's."""

from __future__ import annotations

from pathlib import Path

from adversarial.frame import Finding
from adversarial.stage import Stage

from fk_overlay.core import Arm, Model, Pack, Scenario, Workload
from fk_overlay.engines.base import Launch
from fk_overlay.engines.vllm.environment import arguments, environment

CACHES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
SCENARIO = Scenario("toy", "toy", Model("toy"), (Workload("chat", 1, 1, 1),))


def launch(folder: Path, pack_digest: str) -> Launch:
    packs = (Pack("p", "s", (), digest=pack_digest),) if pack_digest else ()
    arm = Arm("p" if packs else "baseline", packs)
    return Launch("00", SCENARIO, folder, folder, folder / "plan.json", folder / "caches", arm.digest)


def planted(stage: Stage, variable: str, victim: str, said: str) -> Finding:
    """A pack leaves a file in one of its caches; the victim's launch looks into its own, and at its cache key."""
    attacker, other = launch(stage.tmp_path, "a" * 64), launch(stage.tmp_path, victim)
    cache = Path(environment(attacker)[variable])
    cache.mkdir(parents=True)
    (cache / "artifact").write_text("planted")
    found = list(Path(environment(other)[variable]).rglob("*"))
    same_key = arguments(attacker)["additional_config"] == arguments(other)["additional_config"]
    if found or same_key:
        return Finding("passed")
    return Finding("blocked", (said,), "g.clean")
