"""A small engine to bench on, its tasks, its captured calls, and packs that tests write into files."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fk_overlay import catalog
from fk_overlay.bench.bench import Bench, Place
from fk_overlay.bench.design import Design
from fk_overlay.bench.judge import judge
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import keeping, store
from fk_overlay.capture.describe import Call, Named
from fk_overlay.capture.keeping import Room
from fk_overlay.capture.recipes import Recipes, remember_constructor
from fk_overlay.capture.signature import plain
from fk_overlay.contract import store as contracts
from fk_overlay.contract.definition import find
from fk_overlay.core import Contract

HERE = Path(__file__).parent
PACKAGE, VERSION = "bench_toy_engine", "1.2.0"
QUICK = Design(warm_up=2, iterations=5, rounds=2, processes=1, start_s=30.0, call_s=10.0, minimum_effect=0.05)
"""Enough to notice what is wrong; too few rounds to tell how fast."""

ENGINE = """
import collections

import torch


class Norm(torch.nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size), requires_grad=False)
        self.eps = eps

    def forward_native(self, x, residual=None):
        total = x if residual is None else x + residual
        normal = total * torch.rsqrt(total.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight
        return normal if residual is None else (normal, total)

    def forward(self, x, residual=None):
        return self.forward_native(x, residual)


def scaled(x, by):
    return x * by


def keep(cache, x, slots):
    cache[slots] = x


def logs(x):
    return torch.log(x)


Parts = collections.namedtuple("Parts", "low high")


def parts(x):
    return Parts(x.clamp(max=0), x.clamp(min=0))
"""
NORM = """
import torch


def reference(module, x, residual=None):
    total = x if residual is None else x + residual
    weight = module.weight.to(total.dtype)
    normal = total * torch.rsqrt(total.square().mean(dim=-1, keepdim=True) + module.eps) * weight
    return normal if residual is None else (normal, total)
"""
SCALED = "def reference(module, x, by):\n    return x * by\n"
KEEP = """
import torch

UNUSED = ()


def reference(module, cache, x, slots):
    new = cache.clone()
    new[slots] = x.to(cache.dtype)
    return new


def fresh(module, arguments, seed):
    generator = torch.Generator().manual_seed(seed)
    return {"slots": torch.randperm(len(arguments["cache"]), generator=generator)[: len(arguments["slots"])]}
"""
LOGS = "import torch\n\n\ndef reference(module, x):\n    return torch.log(x)\n"
PARTS = "def reference(module, x):\n    return x.clamp(max=0), x.clamp(min=0)\n"
SAMPLES = "\n\ndef samples(seed, dtype, device='cpu'):\n    return iter(())\n"
TOLERANCE = "[tolerance.float32]\nrtol = 1e-5\natol = 1e-5\n"


@dataclass(frozen=True, slots=True)
class Toy:
    """One task of the toy engine."""

    path: str
    reference: str
    seam: str = "function"
    members: tuple[str, ...] = ()
    more: str = ""


TOYS: Mapping[str, Toy] = {
    "norm": Toy("Norm", NORM, "method", ("forward_native",), 'aliases = { "1" = "residual" }\n'),
    "scaled": Toy("scaled", SCALED),
    "keep": Toy("keep", KEEP, more='mutates = ["cache"]\ndata_dependent = ["slots"]\n'),
    "logs": Toy("logs", LOGS),
    "parts": Toy("parts", PARTS),
}


class ToyHost:
    """See :class:`fk_overlay.overlay.host.Host`."""

    engine = "toy"

    def version(self) -> str:
        return VERSION

    def source_root(self) -> Path:
        spec = sys.modules[PACKAGE].__file__ if PACKAGE in sys.modules else None
        return Path(spec).parent if spec else Path(next(p for p in sys.path if (Path(p) / f"{PACKAGE}.py").is_file()))

    def role(self) -> str:
        return "worker"

    def gpus(self) -> tuple[str, ...]:
        return ()

    def users(self, model: Any, owner: type) -> list[Any]:
        return [module for module in model.modules() if isinstance(module, owner)]


HOST = ToyHost()


def write_engine(root: Path) -> None:
    (root / f"{PACKAGE}.py").write_text(ENGINE)
    for name, toy in TOYS.items():
        folder = root / "tasks" / "L1" / name
        folder.mkdir(parents=True)
        path = f"{PACKAGE}:{toy.path}"
        (folder / "task.toml").write_text(
            f'name = "{name}"\nlevel = "L1"\nsummary = "a toy"\nfamilies = ["dense"]\n{toy.more}{TOLERANCE}'
            f'[[target]]\nengine = "toy"\nversions = ">=1.0,<2.0"\npath = "{path}"\nseam = "{toy.seam}"\n'
            f"members = {json.dumps(list(toy.members))}\n"
        )
        (folder / "reference.py").write_text(toy.reference + SAMPLES)
        places = [f"{path}.{member}" for member in toy.members] or [path]
        contracts.write(folder, Contract("toy", VERSION, {place: find(root, place).fingerprint for place in places}))


class Recorded:
    """Writes a capture of calls that are made here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tensors = folder / store.TENSORS
        self._tensors.mkdir(parents=True)
        self._recipes = Recipes(self._kept)
        self._rows: list[dict[str, Any]] = []

    def call(self, task: str, function: Callable[..., Any], module: Any = None, **arguments: Any) -> None:
        """Make a call once and record it; ``module`` is the instance that a method belongs to. A call like an earlier
        one adds its values to that case."""
        member = f"{type(module).__qualname__}.{function.__name__}" if module is not None else function.__name__
        call = Call(self._recipes)
        named: list[Named] = [(name, False, value) for name, value in arguments.items()]
        call.note(named)
        signature = plain(call.describe(named))
        snapshot = self._kept(call)
        if same := [row for row in self._rows if (row["task"], row["signature"]) == (task, signature)]:
            same[0]["snapshots"] += plain([snapshot])
            return
        result = function(*arguments.values())
        items = result if isinstance(result, tuple) else (result,)
        given: list[Named] = [(str(number), False, item) for number, item in enumerate(items)]
        call.note(given)
        self._rows.append(
            {
                "id": f"{task}-{len(self._rows)}",
                "task": task,
                "target": f"{PACKAGE}:{member}",
                "rank": 0,
                "signature": signature,
                "results": plain(call.describe(given)),
                "surroundings": [],
                "module": self._recipes(module) if module is not None else "",
                "calls": 10,
                "timed": 10,
                "seconds": 1e-4,
                "snapshots": plain([snapshot]),
            }
        )

    def write(self, **changed: Any) -> Path:
        facts = {
            "engine": "toy",
            "engine_version": VERSION,
            "model": "none",
            "scenario": "by-hand",
            "contracts": {},
            "graph_sizes": [],
            "modules": {"0": plain(self._recipes.found)},
        }
        return store.write(self.folder, {**facts, **changed}, self._rows, "jsonl")

    def _kept(self, call: Call) -> Any:
        return keeping.store(keeping.take(call, 0, lambda path: True, Room.of(1 << 26)), self._tensors)


def record(root: Path, folder: Path, device: str = "cpu") -> Path:
    """Two calls of the norm, two alike of ``scaled``, one of each other function."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device)

    with imported(root) as engine:
        remember_constructor(engine.Norm)
        norm = engine.Norm(64).to(device)
        norm.weight.data = torch.rand(64, device=device) + 0.5
        made = Recorded(folder)
        made.call("norm", norm.forward_native, norm, x=normal(9, 64))
        made.call("norm", norm.forward_native, norm, x=normal(9, 64), residual=normal(9, 64))
        for _ in range(2):
            made.call("scaled", engine.scaled, x=normal(100, 100), by=1.5)
        slots = torch.randperm(50)[:7].to(device)
        made.call("keep", engine.keep, cache=normal(50, 16), x=normal(7, 16), slots=slots)
        made.call("logs", engine.logs, x=normal(20, 50))
        made.call("parts", engine.parts, x=normal(20, 50))
        return made.write()


@contextmanager
def imported(root: Path) -> Iterator[Any]:
    import importlib

    sys.path.insert(0, str(root))
    try:
        yield importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(root))
        sys.modules.pop(PACKAGE, None)


@dataclass
class ToyBench:
    """The toy engine, a bench on it, and its cases by name: ``norm``, ``norm+residual``, ``scaled``, ``keep``,
    ``logs``, ``parts``."""

    root: Path
    bench: Bench
    cases: Mapping[str, store.Case]
    packs: int = 0

    def pack(self, task: str, source: str, symbol: str = "Kernel") -> Path:
        """A pack of one patch with this source."""
        self.packs += 1
        folder = self.root / f"pack-{self.packs}"
        folder.mkdir()
        (folder / "kernel.py").write_text(textwrap.dedent(source))
        (folder / "pack.toml").write_text(
            f'name = "toy-{self.packs}"\nsummary = "a toy"\n'
            f'[[patch]]\ntask = "{task}"\nfile = "kernel.py"\nsymbol = "{symbol}"\n'
        )
        return folder

    def judge(self, source: str | None, case: str = "norm", design: Design = QUICK) -> CaseVerdict:
        """Judge the class ``Kernel`` (or the function, for the function seam) that ``source`` defines; None: the
        baseline against itself."""
        chosen = self.cases[case]
        pack = None if source is None else self.bench.frozen(catalog.pack(self.pack(chosen.task, source)))
        return judge(self.bench, chosen, self.bench.tasks[chosen.task], pack, design)


@contextmanager
def opened(root: Path, device: str = "cpu") -> Iterator[ToyBench]:
    """A toy bench in a folder, its cases recorded on a device."""
    torch.set_num_threads(1)
    write_engine(root)
    found = store.read(record(root, root / "capture", device))
    tasks = {name: catalog.load_task(root / "tasks" / "L1" / name / "task.toml") for name in TOYS}
    path = os.pathsep.join(filter(None, (str(root), str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH"))))
    sys.path.insert(0, str(root))
    try:
        place = Place("bench_toy:HOST", "fk_overlay.engines.workbench:WORKBENCH")
        with Bench(place, tasks, {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}) as bench:
            names = ("norm", "norm+residual", "scaled", "keep", "logs", "parts")
            yield ToyBench(root, bench, dict(zip(names, found.cases, strict=True)))
    finally:
        sys.path.remove(str(root))
