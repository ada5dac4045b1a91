"""What a process could change about itself to look faster or righter than it is: functions that measure and compare,
flags that trade precision for speed, and helpers it starts. Taken before a candidate is imported and after its last
call; the two are compared in another process.
"""

from __future__ import annotations

import _thread
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import psutil

GUARDED: Mapping[str, tuple[str, ...]] = {
    "time": (
        "perf_counter",
        "perf_counter_ns",
        "monotonic",
        "monotonic_ns",
        "time",
        "time_ns",
        "process_time",
        "sleep",
    ),
    "hashlib": ("sha256",),
    "json": ("dumps", "loads"),
    "os": ("write", "read", "fork", "_exit"),
    "torch": ("allclose", "equal", "isclose", "empty", "zeros", "full", "randn", "randint", "randperm", "frombuffer"),
    "torch.testing": ("assert_close",),
    "torch.cuda": ("synchronize", "Event", "current_stream", "is_current_stream_capturing"),
    "torch.cuda.Event": ("record", "elapsed_time", "synchronize", "query"),
    "torch.Tensor": ("copy_", "clone", "cpu", "to", "data_ptr", "set_", "fill_", "untyped_storage", "__eq__"),
}
"""Modules and classes, and their functions that timing and comparing rest on."""
FLAGS: Mapping[str, tuple[str, ...]] = {
    "cuda.matmul": (
        "allow_tf32",
        "fp32_precision",
        "allow_bf16_reduced_precision_reduction",
        "allow_fp16_reduced_precision_reduction",
    ),
    "cudnn": ("enabled", "allow_tf32", "deterministic", "benchmark"),
    "mkldnn": ("enabled",),
}
"""Of torch's backends."""
OURS = ("bench.calling", "bench.inputs", "bench.returned", "bench.channel", "bench.worker", "integrity.process")
"""Our own modules in an arm's process; all their functions are guarded."""
NETWORK = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"})
STARTING = frozenset({"os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen"})
THREAD = "start of a thread"
"""Events of Python's audit, and one more, that no timed call has a reason for; before, a kernel may be compiled."""


def fingerprints() -> dict[str, str]:
    """Identity and code of every guarded function, by name."""
    found = {}
    for owner_name, names in GUARDED.items():
        owner = _reached(owner_name)
        if owner is not None:
            found.update({f"{owner_name}.{name}": _print(getattr(owner, name, None)) for name in names})
    for short in OURS:
        module = sys.modules.get(f"fk_overlay.{short}")
        if module is not None:
            found.update({f"{short}.{name}": _print(held) for name, held in _functions(module)})
    return found


def identities(held: Any) -> dict[str, str]:
    """What an object's attributes are, by name, as far as they are callable: the clock and the function it times."""
    return {name: f"{id(value):x}" for name, value in vars(held).items() if callable(value)}


def flags() -> dict[str, str]:
    """Settings of torch and of Python that change what is computed, or how fast."""
    import torch

    backends = {
        "cuda.matmul": torch.backends.cuda.matmul,
        "cudnn": torch.backends.cudnn,
        "mkldnn": torch.backends.mkldnn,
    }
    found = {f"{name}.{flag}": _flag(backends[name], flag) for name, names in FLAGS.items() for flag in names}
    return found | {
        "default dtype": str(torch.get_default_dtype()),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "threads": str(torch.get_num_threads()),
        "grad enabled": str(torch.is_grad_enabled()),
        "denormals flushed": str(bool((torch.tensor([1e-310], dtype=torch.float64) / 2 == 0).item())),
        "switch interval": str(sys.getswitchinterval()),
        "affinity": str(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "",
        "profiler": str(sys.getprofile()),
        "tracer": str(sys.gettrace()),
    }


def _flag(backend: Any, name: str) -> str:
    """torch refuses to tell some flags once others have been set by their newer names; that is a state too. A precision
    that was put back reads ``ieee`` where it read ``none``, which is the same."""
    try:
        found = str(getattr(backend, name, "none"))
    except RuntimeError as error:
        return f"not told: {error}"
    return found.replace("none", "ieee") if name == "fp32_precision" else found


def watch(tell: Callable[[str], None]) -> None:
    """Call ``tell(event)`` whenever this process connects, forks, runs a program or starts a thread. An audit hook
    cannot be taken off again; threads have no audit event, so the function that starts them is wrapped."""
    wanted = NETWORK | STARTING

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in wanted:
            tell(event)

    sys.addaudithook(hook)
    start = _thread.start_new_thread

    def starting(*args: Any) -> int:
        tell(THREAD)
        return start(*args)

    for module, name in ((_thread, "start_new_thread"), (_thread, "start_new"), (threading, "_start_new_thread")):
        setattr(module, name, starting)


def threads() -> list[str]:
    """Python threads of this process that are alive, but for the main one."""
    return sorted(each.name for each in threading.enumerate() if each is not threading.main_thread())


def outside(pid: int) -> dict[str, int]:
    """How many children, sockets and threads a process has, asked of the system and not of it; all 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        children, running = len(process.children(recursive=True)), process.num_threads()
    except psutil.Error:
        return {"children": 0, "sockets": 0, "threads": 0}
    return {"children": children, "sockets": sum(map(_is_socket, _descriptors(pid))), "threads": running}


def _descriptors(pid: int) -> list[Path]:
    folder = Path(f"/proc/{pid}/fd")
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_socket(descriptor: Path) -> bool:
    """False for one that is closed by now."""
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False


def _reached(dotted: str) -> Any:
    import importlib

    module, _, name = dotted.rpartition(".")
    if name[:1].isupper():
        return getattr(importlib.import_module(module), name, None)
    return importlib.import_module(dotted)


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    for name, held in list(vars(module).items()):
        if isinstance(held, type) and held.__module__ == module.__name__:
            yield from ((f"{name}.{inner}", value) for inner, value in list(vars(held).items()) if callable(value))
        if callable(held):
            yield name, held


def _print(held: Any) -> str:
    code = getattr(held, "__code__", None)
    return f"{id(held):x}/{_code(code) if isinstance(code, CodeType) else '-'}"


def _code(code: CodeType) -> str:
    constants = repr([each for each in code.co_consts if not isinstance(each, CodeType)])
    return hashlib.sha256(code.co_code + constants.encode() + repr(code.co_names).encode()).hexdigest()[:12]
