"""The kernels of the two grouped products. Each program multiplies tiles of tokens with tiles of one expert's weights.

:func:`by_tile` has a program for every tile; :func:`by_program` as many as the card holds at once, which go from tile
to tile and ask for the next one's weights and rows before they write the last one's results.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def by_tile(
    x, w, out, sorted_pairs, experts, used, scale, n, k, length, pairs, x_row, w_expert, w_row, out_row,
    TOP_K: tl.constexpr, SORTED: tl.constexpr, GATED: tl.constexpr, SCALED: tl.constexpr, DESCRIBED: tl.constexpr,
    JOINED: tl.constexpr, PACKED: tl.constexpr, EARLY: tl.constexpr, EVEN: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    columns = tl.cdiv(n, BLOCK_N)
    block, tile = _place(tl.program_id(0), tl.cdiv(length, BLOCK_M), columns, GROUP_M)

    if EARLY and GATED:
        gdc_wait()  # for the sort and the tokens
        gdc_launch_dependents()
    row = tl.arange(0, BLOCK_M)
    if SORTED:
        if block * BLOCK_M >= tl.load(used):
            return
        pair = tl.load(sorted_pairs + block * BLOCK_M + row).to(tl.int64)
    else:
        pair = tl.where(row == 0, block, pairs).to(tl.int64)
    real = pair < pairs
    owner = tl.load(experts + block)
    expert = tl.maximum(owner, 0)

    column = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    if not (PACKED and not GATED):
        # Padding reads the first token's row: it is of no use, and copies without a mask are cheaper.
        tokens = x + tl.where(real, pair // TOP_K, 0)[:, None] * x_row + depth[None, :]
    if DESCRIBED:
        top = expert * (n * 2 if GATED else n) + tile * BLOCK_N
    else:
        lefts = w + expert.to(tl.int64) * w_expert + (column % n)[None, :].to(tl.int64) * w_row + depth[:, None]
        rights = lefts + n.to(tl.int64) * w_row
    result = tl.zeros((BLOCK_M, 2 * BLOCK_N if JOINED else BLOCK_N), dtype=tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    if EARLY and not GATED:
        gdc_wait()  # for the rows; the sort was over before the first product began
    for begin in range(0, k, BLOCK_K):
        inside = depth < k - begin
        if PACKED and not GATED:
            token = x.load([block * BLOCK_M, begin])
        elif EVEN:
            token = tl.load(tokens)
        else:
            token = tl.load(tokens, mask=inside[None, :], other=0.0)
        if not (PACKED and not GATED):
            tokens += BLOCK_K
        if JOINED:
            left = _joined(w, expert, tile, begin, BLOCK_N, BLOCK_K).T
        elif DESCRIBED:
            left = w.load([top, begin]).T
        elif EVEN:
            left = tl.load(lefts)
        else:
            left = tl.load(lefts, mask=inside[:, None], other=0.0)
        if not DESCRIBED:
            lefts += BLOCK_K
        if WIDE:  # the interpreter takes bfloat16 for integers
            token, left = token.to(tl.float32), left.to(tl.float32)
        result += tl.dot(token, left)
        if GATED and not JOINED:
            if DESCRIBED:
                right = w.load([top + n, begin]).T
            elif EVEN:
                right = tl.load(rights)
            else:
                right = tl.load(rights, mask=inside[:, None], other=0.0)
            if not DESCRIBED:
                rights += BLOCK_K
            if WIDE:
                right = right.to(tl.float32)
            up += tl.dot(token, right)

    kind = out.dtype.element_ty
    if JOINED:
        result, up = _apart(result, BLOCK_M, BLOCK_N)
    if GATED:
        result = _activated(result, up, kind)
    if owner < 0:  # nobody's pairs come out as 0
        result = tl.zeros_like(result)
    if SCALED:
        result *= tl.load(scale + pair, mask=real, other=0.0)[:, None]
    if PACKED and GATED:
        place = (block * BLOCK_M + row).to(tl.int64)
        tl.store(out + place[:, None] * out_row + column[None, :], result.to(kind), mask=(column < n)[None, :])
    else:
        written = real[:, None] & (column < n)[None, :]
        tl.store(out + pair[:, None] * out_row + column[None, :], result.to(kind), mask=written)


@triton.jit
def by_program(
    x, w, out, sorted_pairs, experts, used, scale, n, k, pairs, x_row, out_row,
    TOP_K: tl.constexpr, GATED: tl.constexpr, SCALED: tl.constexpr, PACKED: tl.constexpr, EARLY: tl.constexpr,
    WIDE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """Of sorted pairs that all have an owner, with described weights whose tiles divide ``n`` and ``k``."""
    if EARLY:
        gdc_wait()
        if GATED:
            gdc_launch_dependents()
    columns, blocks = tl.cdiv(n, BLOCK_N), tl.load(used) // BLOCK_M
    total, first, step = blocks * columns, tl.program_id(0), tl.num_programs(0)
    row, depth = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_K)
    kind = out.dtype.element_ty
    # Nothing may be carried from turn to turn: Triton 3.6 gives the inner loop of a flattened one the next turn's.
    for program in tl.range(first, total, step, flatten=True):
        block, tile = _place(program, blocks, columns, GROUP_M)
        expert = tl.load(experts + block)
        pair = tl.load(sorted_pairs + block * BLOCK_M + row).to(tl.int64)
        real = pair < pairs
        if SCALED:
            share = tl.load(scale + pair, mask=real, other=0.0)
        if not (PACKED and not GATED):
            tokens = x + tl.where(real, pair // TOP_K, 0)[:, None] * x_row + depth[None, :]
        result = tl.zeros((BLOCK_M, 2 * BLOCK_N if GATED else BLOCK_N), dtype=tl.float32)
        for begin in range(0, k, BLOCK_K):
            token = x.load([block * BLOCK_M, begin]) if PACKED and not GATED else tl.load(tokens + begin)
            if GATED:
                weight = _joined(w, expert, tile, begin, BLOCK_N, BLOCK_K).T
            else:
                weight = w.load([expert * n + tile * BLOCK_N, begin]).T
            if WIDE:
                token, weight = token.to(tl.float32), weight.to(tl.float32)
            result += tl.dot(token, weight)
        if GATED:
            gate, up = _apart(result, BLOCK_M, BLOCK_N)
            written = _activated(gate, up, kind)
        else:
            written = result
        if SCALED:
            written *= share[:, None]
        column = tile * BLOCK_N + tl.arange(0, BLOCK_N)
        if PACKED and GATED:
            place = (block * BLOCK_M + row).to(tl.int64)
            tl.store(out + place[:, None] * out_row + column[None, :], written.to(kind))
        else:
            tl.store(out + pair[:, None] * out_row + column[None, :], written.to(kind), mask=real[:, None])


@triton.jit
def _place(program, blocks, columns, GROUP_M: tl.constexpr):
    """Which block of pairs, and which tile of columns: GROUP_M blocks share the weights that lie in the L2 cache."""
    group, within = program // (GROUP_M * columns), program % (GROUP_M * columns)
    height = min(blocks - group * GROUP_M, GROUP_M)
    return group * GROUP_M + within % height, within // height


@triton.jit
def _joined(w, expert, tile, begin, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """Of one expert the gate's rows and the same of the up projection, [2 BLOCK_N, BLOCK_K]: one wide product takes
    both, with fewer reads of the tokens."""
    return w.load([expert, 0, tile * BLOCK_N, begin]).reshape(2 * BLOCK_N, BLOCK_K)


@triton.jit
def _apart(both, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    return both.reshape(BLOCK_M, 2, BLOCK_N).permute(0, 2, 1).split()


@triton.jit
def _activated(gate, up, kind: tl.constexpr):
    """silu(gate) * up, rounded where the engine rounds: both products, then the activation."""
    gate = gate.to(kind).to(tl.float32)
    return (gate * tl.sigmoid(gate)).to(kind).to(tl.float32) * up.to(kind).to(tl.float32)
