"""A patch that turns on prefix caching, speculative decoding or another attention backend on the side."""

from __future__ import annotations

from dataclasses import replace

from adversarial.frame import Finding, Hack
from adversarial.stage import FAST, Stage
from fakes.engine import Manner

HACK = Hack(
    "B112",
    "Turns on an engine feature: prefix cache, speculation, quantisation, chunking, async scheduling",
    guard="g.fingerprint",
    state="invalid",
    said=r"resolved settings are not the same in every launch: (cache|quant|scheduler|speculative)",
)
VARIANTS = ("prefix", "quantised", "async", "speculative")
SETTINGS = {"cache": {"prefix_caching": False}, "quant": None, "scheduler": {"async": False}, "speculative": None}
CHANGED = {
    "prefix": {"cache": {"prefix_caching": True}},
    "quantised": {"quant": "fp8"},
    "async": {"scheduler": {"async": True}},
    "speculative": {"speculative": {"tokens": 4}},
}


def hack(stage: Stage, variant: str) -> Finding:
    changed = {**SETTINGS, **CHANGED[variant]}
    return stage.serve(baseline=Manner(config=SETTINGS), fast=replace(FAST, config=changed))


def honest(stage: Stage, variant: str) -> Finding:
    return stage.serve(baseline=Manner(config=SETTINGS), fast=replace(FAST, config=dict(SETTINGS)))
