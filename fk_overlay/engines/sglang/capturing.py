"""What a capture must know about SGLang, which hands its batch to modules as an argument."""

from __future__ import annotations

from fk_overlay.capture.engine_facts import EngineFacts

FACTS = EngineFacts(
    eager={"disable_decode_cuda_graph": True, "disable_prefill_cuda_graph": True},
    graph_sizes=("server.cuda_graph_config.decode.bs", "server.cuda_graph_bs_decode"),
)
