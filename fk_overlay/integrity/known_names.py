"""Names by which :mod:`fk_overlay.integrity.static` knows what code does: modules, calls, file suffixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Rule = tuple[Literal["telemetry", "review", "block"], str]

NETWORK: Rule = ("block", "talks to the network")
PROCESSES: Rule = ("block", "starts processes")
UNPICKLES: Rule = ("block", "runs code when it reads data")
MEMORY: Rule = ("block", "looks into other processes or into memory")
THREADS: Rule = ("review", "works in the background")
NATIVE: Rule = ("review", "calls native code without a kernel language")
FLAGS: Rule = ("review", "changes a setting of the whole process")
IDENTITY: Rule = ("telemetry", "looks at addresses or identities of tensors")
REMEMBERS: Rule = ("telemetry", "remembers results of calls")
STREAMS: Rule = ("telemetry", "uses streams or graphs of its own")

IMPORTS: Mapping[str, Rule] = {
    **dict.fromkeys(("socket", "socketserver", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib"), NETWORK),
    **dict.fromkeys(("huggingface_hub", "xmlrpc", "smtplib", "torch.distributed.rpc"), NETWORK),
    **dict.fromkeys(("subprocess", "multiprocessing", "pty", "torch.multiprocessing", "pip", "ensurepip"), PROCESSES),
    **dict.fromkeys(("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"), UNPICKLES),
    **dict.fromkeys(("gc", "ptrace", "tracemalloc"), MEMORY),
    **dict.fromkeys(("threading", "concurrent", "asyncio", "atexit", "signal", "_thread"), THREADS),
    **dict.fromkeys(("ctypes", "cffi", "torch.utils.cpp_extension"), NATIVE),
    "fk_overlay": ("block", "reaches into its judge"),
    "pynvml": ("review", "looks at or sets the GPU's clocks"),
}
"""Module -> what importing it means; the longest name that fits counts."""

CALLS: Mapping[str, Rule] = {
    **dict.fromkeys(("os.system", "os.popen", "os.fork", "os.posix_spawn", "os.execv", "os.execvp"), PROCESSES),
    **dict.fromkeys(("os.kill", "os._exit", "sys.exit"), ("block", "ends processes")),
    **dict.fromkeys(("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._getframe"), MEMORY),
    **dict.fromkeys(("inspect.stack", "inspect.currentframe", "sys._current_frames", "globals", "locals"), MEMORY),
    "importlib.reload": ("block", "changes a module that is not its own"),
    **dict.fromkeys(("os.write", "os.dup", "os.dup2", "os.fdopen"), ("block", "writes to open files of the process")),
    "open": ("review", "opens files"),
    "print": ("telemetry", "prints"),
    "numpy.load": ("review", "reads arrays from a file"),
    **dict.fromkeys(("torch.set_float32_matmul_precision", "torch.set_default_dtype", "torch.manual_seed"), FLAGS),
    **dict.fromkeys(("torch.use_deterministic_algorithms", "torch.set_num_threads", "os.putenv"), FLAGS),
    **dict.fromkeys((".data_ptr", ".untyped_storage", "id"), IDENTITY),
    **dict.fromkeys(("torch.cuda.Stream", "torch.cuda.ExternalStream", "torch.cuda.CUDAGraph"), STREAMS),
    **dict.fromkeys(("torch.cuda.stream", "torch.cuda.graph"), STREAMS),
    **dict.fromkeys(("torch.Tensor._make_subclass", "torch.Tensor._make_wrapper_subclass"), ("block", "lazy tensors")),
}
"""Dotted path of a call -> what it means; a path that begins with a dot is a method of anything."""

MENTIONS: Mapping[str, Rule] = {
    "sys.modules": ("review", "looks at loaded modules"),
    "os.environ": ("review", "depends on the environment"),
    **dict.fromkeys(("functools.lru_cache", "functools.cache", "functools.cached_property"), REMEMBERS),
}
"""Dotted path -> what even mentioning it means."""

GUARDED_ROOTS = frozenset(("torch", "time", "builtins", "sys", "os", "statistics", "math", "numpy", "triton", "random"))
"""Packages, beside the engines, of which a kernel changes nothing, neither attributes nor those of their classes."""

SHADOWED = frozenset(("torch", "triton", "numpy", "flashinfer", "sitecustomize", "usercustomize", "fk_overlay", "json"))
"""File and folder names that pretend to be something else, as those of engines do."""

SUFFIXES: Mapping[str, Rule] = {
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".marshal"), UNPICKLES),
    **dict.fromkeys((".so", ".dll", ".dylib", ".cubin", ".fatbin", ".pyd"), ("review", "a compiled library")),
    **dict.fromkeys((".pyc", ".pth"), ("block", "code that is not source")),
}
"""File suffix -> what such a file in a pack means."""
