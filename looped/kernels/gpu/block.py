"""A transformer block as two GPU kernels forward and three backward, written in Triton.

``attention_forward`` works on some heads of one prompt, the others on a tile of ``M`` tokens of
one replica. What lies between is kept on the chip: the hidden layer of the MLP and the scores
never reach memory in the forward pass. Shapes are padded by zeros, which stay zeros: head size to
``DP``, width to ``EP``, MLP to ``HP``; rows beyond the last token are neither read nor written.
``A`` is the width of all heads together.

The norms' gains and biases are folded into the products that follow (see ``folding``), so a norm
here only centres and scales. Matrix products take operands of type ``DT`` and add up in float32;
the residual stream is float32.

A pointer to an activation points to the layer and loop at hand; replicas lie ``rows`` rows apart,
where nothing else is said. One to a weight points to the layer; replicas lie ``N_LAYER`` apart.
"""

import triton
import triton.language as tl

from looped.kernels.shape import EPSILON

GELU_SCALE: tl.constexpr = tl.constexpr(0.7978845608028654)  # sqrt(2 / pi)
GELU_CUBE: tl.constexpr = tl.constexpr(0.044715)
EPS: tl.constexpr = tl.constexpr(EPSILON)


@triton.jit
def _dot(a, b, DT: tl.constexpr):
    if DT == tl.float32:
        return tl.dot(a, b, input_precision="ieee")
    return tl.dot(a.to(DT), b.to(DT))


@triton.jit
def _normalised(x, col, E: tl.constexpr):
    """Centre and scale each row; also return 1 over its standard deviation."""
    mean = tl.sum(x, 1) / E
    centred = tl.where(col[None, :] < E, x - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / E + EPS)
    return centred * rstd[:, None], rstd


@triton.jit
def _norm_gradient(dxhat, xhat, rstd, col, E: tl.constexpr):
    along_one = tl.sum(dxhat, 1) / E
    along_x = tl.sum(dxhat * xhat, 1) / E
    dx = (dxhat - along_one[:, None] - xhat * along_x[:, None]) * rstd[:, None]
    return tl.where(col[None, :] < E, dx, 0.0)


@triton.jit
def _gelu_gate(x):
    """Return s with gelu(x) = x s: the tanh form is a sigmoid in disguise."""
    return tl.sigmoid((x + x * x * x * GELU_CUBE) * (2 * GELU_SCALE))


@triton.jit
def _tile(pointer, row, col, width, end):
    """Load rows of a matrix; those from ``end`` on read 0."""
    return tl.load(
        pointer + row[:, None] * width + col[None, :], mask=row[:, None] < end, other=0.0
    )


@triton.jit
def _put(pointer, row, col, width, end, values):
    tl.store(pointer + row[:, None] * width + col[None, :], values, mask=row[:, None] < end)


@triton.jit
def _transposed(pointer, row, col, width):
    """Load the transpose of rows of a weight: entry [col, row]."""
    return tl.load(pointer + row[None, :] * width + col[:, None])


@triton.jit
def _probabilities(q, k_transposed, query, key, SCALE: tl.constexpr, DT: tl.constexpr):
    """Causal softmax of scaled scores; every query sees at least key 0."""
    scores = tl.where(key[None, :] <= query[:, None], _dot(q, k_transposed, DT) * SCALE, -1e30)
    odds = tl.exp(scores - tl.max(scores, 1)[:, None])
    return odds / tl.sum(odds, 1)[:, None]


@triton.jit
def attention_forward(
    u, rows, wqkv, bqkv, qkv, att, L,
    N_LAYER: tl.constexpr, E: tl.constexpr, EP: tl.constexpr, A: tl.constexpr,
    DP: tl.constexpr, SCALE: tl.constexpr, LP: tl.constexpr, HEADS: tl.constexpr,
    DT: tl.constexpr,
):  # fmt: skip
    """Attend within one prompt, with ``HEADS`` heads: norm, q, k and v, softmax, weighted sum."""
    prompt, replica = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, col, feature = tl.arange(0, LP), tl.arange(0, EP), tl.arange(0, DP)
    here = replica * rows + prompt * L
    qkv, att = qkv + here * 3 * A, att + here * A
    wqkv, bqkv = wqkv + replica * N_LAYER * 3 * A * EP, bqkv + replica * N_LAYER * 3 * A
    xhat, _ = _normalised(_tile(u + here * EP, row, col, EP, L), col, E)
    xhat = xhat.to(DT)
    for head in range(HEADS):
        at = (tl.program_id(2) * HEADS + head) * DP + feature
        q = _dot(xhat, _transposed(wqkv, at, col, EP), DT) + tl.load(bqkv + at)[None, :]
        k = _dot(xhat, _transposed(wqkv, A + at, col, EP), DT) + tl.load(bqkv + A + at)[None, :]
        v = _dot(xhat, _transposed(wqkv, 2 * A + at, col, EP), DT)
        v += tl.load(bqkv + 2 * A + at)[None, :]
        q, k, v = q.to(DT), k.to(DT), v.to(DT)
        _put(qkv, row, at, 3 * A, L, q)
        _put(qkv + A, row, at, 3 * A, L, k)
        _put(qkv + 2 * A, row, at, 3 * A, L, v)
        p = _probabilities(q, tl.trans(k), row, row, SCALE, DT)
        _put(att, row, at, A, L, _dot(p.to(DT), v, DT).to(DT))


@triton.jit
def mlp_forward(
    u, att, rows, wo, bo, w1, b1, w2, b2, x_mid, out, out_rows,
    # what ends a loop: the state's norm, the prompt to add, the read-out
    x_end, end_rows, gain, bias, inject, v, c, predictions,
    n_tokens,
    N_LAYER: tl.constexpr, E: tl.constexpr, EP: tl.constexpr, A: tl.constexpr,
    HP: tl.constexpr, HC: tl.constexpr, M: tl.constexpr, ENDS_LOOP: tl.constexpr,
    DT: tl.constexpr,
):  # fmt: skip
    """Add attention's output to the residual stream, then the MLP's.

    The last block of a loop also reads out, norms the state and adds the prompt to it: ``out``
    is the next block's input.
    """
    replica = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * M + tl.arange(0, M)
    col, inner = tl.arange(0, EP), tl.arange(0, A)
    here, layer = replica * rows, replica * N_LAYER
    w1, b1 = w1 + layer * HP * EP, b1 + layer * HP
    w2 += layer * EP * HP

    x = _tile(u + here * EP, row, col, EP, n_tokens)
    x += tl.load(bo + layer * EP + col)[None, :]
    heads = _tile(att + here * A, row, inner, A, n_tokens)
    x += _dot(heads, _transposed(wo + layer * EP * A, col, inner, A), DT)
    _put(x_mid + here * EP, row, col, EP, n_tokens, x)

    xhat, _ = _normalised(x, col, E)
    xhat = xhat.to(DT)
    x += tl.load(b2 + layer * EP + col)[None, :]
    for start in range(0, HP, HC):
        unit = start + tl.arange(0, HC)
        pre = _dot(xhat, _transposed(w1, unit, col, EP), DT) + tl.load(b1 + unit)[None, :]
        hidden = (pre * _gelu_gate(pre)).to(DT)
        x += _dot(hidden, _transposed(w2, col, unit, HP), DT)

    if ENDS_LOOP:
        _put(x_end + replica * end_rows * EP, row, col, EP, n_tokens, x)
        xhat, _ = _normalised(x, col, E)
        read = tl.sum(xhat * tl.load(v + replica * EP + col)[None, :], 1) + tl.load(c + replica)
        tl.store(predictions + replica * n_tokens + row, read, mask=row < n_tokens)
        x = xhat * tl.load(gain + replica * EP + col)[None, :]
        x += tl.load(bias + replica * EP + col)[None, :]
        x += _tile(inject + replica * n_tokens * EP, row, col, EP, n_tokens)
    _put(out + replica * out_rows * EP, row, col, EP, n_tokens, x)


@triton.jit
def mlp_backward(
    # the gradient at the block's output, replaced by that at the MLP's input
    gradient, x_mid, rows, wo, w1, b1, w2,
    # operands of the weights' gradients, and sums over the tile: the biases' gradients
    datt, dmid, xhat_2, hidden, dpre, dout, sum_o, sum_1, sum_2, sum_rows,
    # what ends a loop
    x_end, end_rows, gain, v, dpredictions, sum_gain, sum_bias, sum_v, end_sum_rows,
    n_tokens,
    N_LAYER: tl.constexpr, E: tl.constexpr, EP: tl.constexpr, A: tl.constexpr,
    HP: tl.constexpr, HC: tl.constexpr, M: tl.constexpr, ENDS_LOOP: tl.constexpr,
    DT: tl.constexpr,
):  # fmt: skip
    """Carry the gradient back from the block's output to attention's."""
    replica = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * M + tl.arange(0, M)
    col, inner = tl.arange(0, EP), tl.arange(0, A)
    here, layer = replica * rows, replica * N_LAYER
    gradient += replica * n_tokens * EP
    w1, b1 = w1 + layer * HP * EP, b1 + layer * HP
    w2 += layer * EP * HP
    hidden, dpre = hidden + here * HP, dpre + here * HP
    sums = replica * sum_rows + tl.program_id(0)

    dx = _tile(gradient, row, col, EP, n_tokens)
    if ENDS_LOOP:
        x = _tile(x_end + replica * end_rows * EP, row, col, EP, n_tokens)
        xhat, rstd = _normalised(x, col, E)
        dread = tl.load(dpredictions + replica * n_tokens + row, mask=row < n_tokens, other=0.0)
        end_sums = (replica * end_sum_rows + tl.program_id(0)) * EP + col
        tl.store(sum_bias + end_sums, tl.sum(dx, 0))
        tl.store(sum_gain + end_sums, tl.sum(dx * xhat, 0))
        tl.store(sum_v + end_sums, tl.sum(dread[:, None] * xhat, 0))
        dxhat = dx * tl.load(gain + replica * EP + col)[None, :]
        dxhat += dread[:, None] * tl.load(v + replica * EP + col)[None, :]
        dx = _norm_gradient(dxhat, xhat, rstd, col, E)
        _put(gradient, row, col, EP, n_tokens, dx)
    tl.store(sum_2 + sums * EP + col, tl.sum(dx, 0))
    dx_operand = dx.to(DT)
    _put(dout + here * EP, row, col, EP, n_tokens, dx_operand)
    xhat, _ = _normalised(_tile(x_mid + here * EP, row, col, EP, n_tokens), col, E)
    _put(xhat_2 + here * EP, row, col, EP, n_tokens, xhat.to(DT))
    tl.debug_barrier()
    # What was just written is read again, here and below, so that it takes no registers.
    dx_operand = _tile(dout + here * EP, row, col, EP, n_tokens)
    xhat_operand = _tile(xhat_2 + here * EP, row, col, EP, n_tokens)
    dxhat = tl.zeros([M, EP], tl.float32)
    for start in range(0, HP, HC):
        unit = start + tl.arange(0, HC)
        into = _transposed(w1, unit, col, EP)  # (EP, HC)
        pre = _dot(xhat_operand, into, DT) + tl.load(b1 + unit)[None, :]
        gate = _gelu_gate(pre)
        _put(hidden, row, unit, HP, n_tokens, (pre * gate).to(DT))
        out_of = tl.load(w2 + col[:, None] * HP + unit[None, :])  # (EP, HC)
        slope = (1 + pre * pre * (3 * GELU_CUBE)) * (2 * GELU_SCALE)
        d = _dot(dx_operand, out_of, DT) * (gate + pre * gate * (1 - gate) * slope)
        tl.store(sum_1 + sums * HP + unit, tl.sum(d, 0))
        d = d.to(DT)
        _put(dpre, row, unit, HP, n_tokens, d)
        dxhat += _dot(d, tl.trans(into), DT)

    tl.debug_barrier()
    dx = _tile(gradient, row, col, EP, n_tokens)
    xhat, rstd = _normalised(_tile(x_mid + here * EP, row, col, EP, n_tokens), col, E)
    dx += _norm_gradient(dxhat, xhat, rstd, col, E)
    _put(gradient, row, col, EP, n_tokens, dx)
    tl.store(sum_o + sums * EP + col, tl.sum(dx, 0))
    dx_operand = dx.to(DT)
    _put(dmid + here * EP, row, col, EP, n_tokens, dx_operand)
    w = tl.load(wo + layer * EP * A + col[:, None] * A + inner[None, :])
    _put(datt + replica * n_tokens * A, row, inner, A, n_tokens, _dot(dx_operand, w, DT).to(DT))


@triton.jit
def attention_backward(
    qkv, att, rows, datt, dqkv, sum_qkv, sum_rows, n_tokens, L,
    A: tl.constexpr, DP: tl.constexpr, SCALE: tl.constexpr, LP: tl.constexpr,
    BQ: tl.constexpr, HEADS: tl.constexpr, DT: tl.constexpr,
):  # fmt: skip
    """Carry the gradient back through some heads of one prompt, to q, k and v."""
    prompt, replica = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, feature = tl.arange(0, LP), tl.arange(0, DP)
    here = replica * rows + prompt * L
    qkv, dqkv, att = qkv + here * 3 * A, dqkv + here * 3 * A, att + here * A
    datt += (replica * n_tokens + prompt * L) * A
    sum_qkv += (replica * sum_rows + prompt) * 3 * A
    for head in range(HEADS):
        at = (tl.program_id(2) * HEADS + head) * DP + feature
        k = _tile(qkv + A, row, at, 3 * A, L)
        v = _tile(qkv + 2 * A, row, at, 3 * A, L)
        dk = tl.zeros([LP, DP], tl.float32)
        dv = tl.zeros([LP, DP], tl.float32)
        dq_sum = tl.zeros([DP], tl.float32)
        for start in tl.static_range(0, LP, BQ):
            query = start + tl.arange(0, BQ)
            q = _tile(qkv, query, at, 3 * A, L)
            d = _tile(datt, query, at, A, L)
            p = _probabilities(q, tl.trans(k), query, row, SCALE, DT)
            dv += _dot(tl.trans(p.to(DT)), d, DT)
            output = _tile(att, query, at, A, L)
            along = tl.sum(d.to(tl.float32) * output.to(tl.float32), 1)
            ds = p * (_dot(d, tl.trans(v), DT) - along[:, None]) * SCALE
            ds = ds.to(DT)
            dk += _dot(tl.trans(ds), q, DT)
            dq = _dot(ds, k, DT)
            dq_sum += tl.sum(dq, 0)
            _put(dqkv, query, at, 3 * A, L, dq.to(DT))
        _put(dqkv + A, row, at, 3 * A, L, dk.to(DT))
        _put(dqkv + 2 * A, row, at, 3 * A, L, dv.to(DT))
        tl.store(sum_qkv + at, dq_sum)
        tl.store(sum_qkv + A + at, tl.sum(dk, 0))
        tl.store(sum_qkv + 2 * A + at, tl.sum(dv, 0))


@triton.jit
def input_backward(
    # the gradient at the MLP's input, replaced by that at the block's input
    gradient, u, dqkv, rows, wqkv, xhat_1, dinject, n_tokens,
    N_LAYER: tl.constexpr, E: tl.constexpr, EP: tl.constexpr, A: tl.constexpr,
    M: tl.constexpr, BEGINS_LOOP: tl.constexpr, DT: tl.constexpr,
):  # fmt: skip
    """Carry the gradient back from q, k and v to the block's input."""
    replica = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * M + tl.arange(0, M)
    col, inner = tl.arange(0, EP), tl.arange(0, A)
    here, place = replica * rows, replica * n_tokens * EP
    wqkv += replica * N_LAYER * 3 * A * EP
    dxhat = tl.zeros([M, EP], tl.float32)
    for part in range(3):
        which = part * A + inner
        w = tl.load(wqkv + which[:, None] * EP + col[None, :])
        dxhat += _dot(_tile(dqkv + here * 3 * A, row, which, 3 * A, n_tokens), w, DT)
    xhat, rstd = _normalised(_tile(u + here * EP, row, col, EP, n_tokens), col, E)
    _put(xhat_1 + here * EP, row, col, EP, n_tokens, xhat.to(DT))
    dx = _tile(gradient + place, row, col, EP, n_tokens)
    dx += _norm_gradient(dxhat, xhat, rstd, col, E)
    _put(gradient + place, row, col, EP, n_tokens, dx)
    if BEGINS_LOOP:
        dx += _tile(dinject + place, row, col, EP, n_tokens)
        _put(dinject + place, row, col, EP, n_tokens, dx)
