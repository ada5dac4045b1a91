"""A plugin for tests: keeps vLLM's piecewise compilation, with its ahead-of-time cache, on a CPU.

vLLM's CPU platform turns it down to a plain Dynamo trace, whose results are not cached. With the mode put back, the
same decorators, cache keys and loading code run as on a GPU; fusion passes that need GPU kernels are switched off.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    from vllm.compilation.passes.utility import fix_functionalization
    from vllm.config import CompilationMode
    from vllm.platforms.cpu import CpuPlatform

    settle = CpuPlatform.__dict__["check_and_update_config"].__func__

    def keep_mode(cls: type[Any], vllm_config: Any) -> None:
        compilation = vllm_config.compilation_config
        mode = compilation.mode
        settle(cls, vllm_config)
        if mode == CompilationMode.VLLM_COMPILE:
            compilation.mode = mode
            compilation.compile_sizes = []
            compilation.pass_config.fuse_norm_quant = False
            compilation.pass_config.fuse_act_quant = False

    CpuPlatform.check_and_update_config = classmethod(keep_mode)
    fix_functionalization.FixFunctionalizationPass.__call__ = lambda self, graph: None
