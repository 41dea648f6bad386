"""A recurrence over all positions, forwards and backwards.

Keras's loop projects the input of one position after the other, and adds up the
gradient of each kernel position by position. Here both are one product over all
positions, outside of the loop; so is all of the gradient that does not wait for the
position behind. Shapes: B sentences, T positions, U units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from s2s_cli.runtime import processor_flags

Tensor = Any
Tensors = list[Tensor]


class Cell(NamedTuple):
    """What one position does, and its gradient.

    forward(projected (B,G×U), inner (B,G×U), states) → new states, and what the
    gradient needs of them (kept), all in float32; the first two in the precision of the
    products.
    factors(kept, states before, mask), each of them of all positions at once → what
    `backward` multiplies with. Where mask (T,B,1) is 0, gradients pass by.
    backward(factors, gradients of the new states) → gradients of projected, of inner,
    and of the states before, the way through inner left out.
    """

    forward: Callable[[Tensor, Tensor, Tensors], tuple[Tensors, Tensors]]
    factors: Callable[[Tensors, Tensors, Tensor | None], Tensors]
    backward: Callable[[Tensors, Tensors], tuple[Tensor, Tensor, Tensors]]
    kept: int


def _lstm_forward(projected: Tensor, inner: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
    # Added as they are, which becomes a part of the product.
    gates = tf.sigmoid(tf.cast(inner + projected, tf.float32))
    i, f, g, o = tf.split(gates, 4, axis=-1)
    cell = f * states[1] + i * _tanh_of_half(g)
    return [o * tf.tanh(cell), cell], [gates]


def _lstm_factors(kept: Tensors, states: Tensors, mask: Tensor | None) -> Tensors:
    i, f, g, o = tf.split(kept[0], 4, axis=-1)
    candidate = _tanh_of_half(g)
    squashed = tf.tanh(f * states[1] + i * candidate)
    of_cell = o * (1 - squashed * squashed)
    by_cell = [candidate * i * (1 - i), states[1] * f * (1 - f), 2 * i * g * (1 - g)]
    of_output = squashed * o * (1 - o)
    passed = []
    if mask is not None:
        by_cell = [factor * mask for factor in by_cell]
        of_cell, of_output = of_cell * mask, of_output * mask
        f, passed = f * mask + (1 - mask), [1 - mask]
    return [tf.concat([*by_cell, of_output], axis=2), of_cell, f, *passed]


def _lstm_backward(factors: Tensors, gradients: Tensors) -> tuple[Tensor, Tensor, Tensors]:
    by_gate, of_cell, forget, *passed = factors
    hidden, cell = gradients
    cell += hidden * of_cell
    gates = tf.concat([cell, cell, cell, hidden], axis=1) * by_gate
    direct = hidden * passed[0] if passed else 0.0
    return gates, gates, [direct, cell * forget]


def _tanh_of_half(sigmoid: Tensor) -> Tensor:
    """tanh(x / 2) from sigmoid(x)."""
    return 2 * sigmoid - 1


def _gru_forward(projected: Tensor, inner: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
    (z, r, candidate), (inner_z, inner_r, inner_candidate) = (
        tf.split(tf.cast(tensor, tf.float32), 3, axis=-1) for tensor in (projected, inner)
    )
    z, r = tf.sigmoid(z + inner_z), tf.sigmoid(r + inner_r)
    candidate = tf.tanh(candidate + r * inner_candidate)
    return [z * states[0] + (1 - z) * candidate], [z, r, candidate, inner_candidate]


def _gru_factors(kept: Tensors, states: Tensors, mask: Tensor | None) -> Tensors:
    z, r, candidate, inner_candidate = kept
    of_candidate = (1 - z) * (1 - candidate * candidate)
    of_z = (states[0] - candidate) * z * (1 - z)
    if mask is not None:
        of_candidate, of_z = of_candidate * mask, of_z * mask
        z = z * mask + (1 - mask)
    of_r = of_candidate * inner_candidate * r * (1 - r)
    return [
        tf.concat([of_z, of_r, of_candidate], axis=2),
        tf.concat([of_z, of_r, of_candidate * r], axis=2),
        z,
    ]


def _gru_backward(factors: Tensors, gradients: Tensors) -> tuple[Tensor, Tensor, Tensors]:
    projected, inner, passed = factors
    (hidden,) = gradients
    gates = tf.concat([hidden, hidden, hidden], axis=1)
    return gates * projected, gates * inner, [hidden * passed]


LSTM_CELL = Cell(_lstm_forward, _lstm_factors, _lstm_backward, kept=1)
GRU_CELL = Cell(_gru_forward, _gru_factors, _gru_backward, kept=4)


def recurrence(
    cell: Cell,
    projected: Tensor,
    states: Tensors,
    kernel: Tensor,
    bias: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensors]:
    """projected (T,B,G×U), states (B,U) → hidden (T,B,U), the last states.

    `kernel` (U,G×U) and `bias` (G×U,) make `inner` of the hidden state. Where mask
    (T,B,1) is False, the states stay as they are. Products are taken in the precision
    of the kernel, all else in float32.
    """

    @tf.custom_gradient
    def run(projected: Tensor, kernel: Tensor, bias: Tensor, *states: Tensor) -> Any:
        last, after, kept = _forwards(cell, projected, list(states), kernel, bias, mask)

        def gradient(of_hidden: Tensor, *of_last: Tensor) -> Any:
            before = [
                tf.concat([first[None], stack[:-1]], axis=0)
                for first, stack in zip(states, after, strict=True)
            ]
            present = None if mask is None else tf.cast(mask, tf.float32)
            factors = cell.factors(kept, before, present)
            of_projected, of_inner, of_states = _backwards(
                cell, factors, of_hidden, list(of_last), kernel
            )
            hidden = tf.cast(_flat(before[0]), kernel.dtype)
            of_kernel = tf.matmul(hidden, _flat(of_inner), transpose_a=True)
            of_bias = tf.reduce_sum(tf.cast(of_inner, tf.float32), axis=[0, 1])
            return of_projected, of_kernel, of_bias, *of_states

        return (after[0], *last), gradient

    states = [tf.cast(state, tf.float32) for state in states]
    hidden, *last = run(projected, kernel, tf.cast(bias, tf.float32), *states)
    return tf.cast(hidden, kernel.dtype), [tf.cast(state, kernel.dtype) for state in last]


def _forwards(
    cell: Cell,
    projected: Tensor,
    states: Tensors,
    kernel: Tensor,
    bias: Tensor,
    mask: Tensor | None,
) -> tuple[Tensors, Tensors, Tensors]:
    """The last states; the states behind each position, (T,B,U); what the gradient needs."""
    times_kernel, bias = times(kernel), tf.cast(bias, kernel.dtype)

    def advance(projected: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        inner = tf.nn.bias_add(times_kernel(tf.cast(states[0], kernel.dtype)), bias)
        return cell.forward(projected, inner, states)

    return scan(advance, projected, states, mask, kept=cell.kept)


def scan(
    advance: Callable[[Tensor, Tensors], tuple[Tensors, Tensors]],
    inputs: Tensor,
    states: Tensors,
    mask: Tensor | None,
    *,
    kept: int = 0,
    backwards: bool = False,
) -> tuple[Tensors, Tensors, Tensors]:
    """inputs (T,B,I), states (B,U) → the last states; those behind each position, (T,B,U); and
    what `advance` gives besides, `kept` tensors, of each position.

    Where mask (T,B,1) is False, the states stay as they are. Going backwards, all tensors
    keep their order, and the last states are those of position 0.
    """
    length = tf.shape(inputs)[0]

    def go_on(step: Tensor, states: Tensors, after: Any, notes: Any) -> Any:
        position = length - 1 - step if backwards else step
        new, values = advance(inputs[position], states)
        if mask is not None:
            present = mask[position]
            new = [tf.where(present, a, b) for a, b in zip(new, states, strict=True)]
        after = [array.write(position, state) for array, state in zip(after, new, strict=True)]
        notes = [array.write(position, value) for array, value in zip(notes, values, strict=True)]
        return step + 1, new, after, notes

    _, last, after, notes = tf.while_loop(
        lambda step, *_: step < length,
        go_on,
        (0, states, _arrays(len(states), length), _arrays(kept, length)),
        parallel_iterations=1,
    )
    return last, [array.stack() for array in after], [array.stack() for array in notes]


def _backwards(
    cell: Cell, factors: Tensors, of_hidden: Tensor, of_last: Tensors, kernel: Tensor
) -> tuple[Tensor, Tensor, Tensors]:
    """Gradients of projected and of inner, (T,B,G×U), and of the first states."""
    length = tf.shape(of_hidden)[0]
    times_transposed = times(tf.transpose(kernel))
    is_one = cell is LSTM_CELL  # where projected and inner are added, so are their gradients

    def retreat(position: Tensor, gradients: Tensors, arrays: Tensors) -> Any:
        of_projected, of_inner, of_states = cell.backward(
            [factor[position] for factor in factors],
            [gradients[0] + of_hidden[position], *gradients[1:]],
        )
        of_inner = tf.cast(of_inner, kernel.dtype)
        of_states[0] += tf.cast(times_transposed(of_inner), tf.float32)
        values = [of_inner] if is_one else [of_inner, tf.cast(of_projected, kernel.dtype)]
        arrays = [array.write(position, value) for array, value in zip(arrays, values, strict=True)]
        return position - 1, of_states, arrays

    _, of_states, arrays = tf.while_loop(
        lambda position, *_: position >= 0,
        retreat,
        (length - 1, of_last, _arrays(1 if is_one else 2, length, kernel.dtype)),
        parallel_iterations=1,
    )
    stacks = [array.stack() for array in arrays]
    return stacks[-1], stacks[0], of_states


def times(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """rows (B,M) → rows × matrix (M,N), for a product of few rows that is taken again and again.

    The second matrix as it is takes half the time that it takes transposed where there is
    AVX-512, and twice that time where there is not.
    """
    if "avx512f" in processor_flags():
        return lambda rows: tf.matmul(rows, matrix)
    transposed = tf.transpose(matrix)
    return lambda rows: tf.matmul(rows, transposed, transpose_b=True)


def _arrays(count: int, length: Tensor, dtype: Any = tf.float32) -> Tensors:
    return [tf.TensorArray(dtype, size=length) for _ in range(count)]


def _flat(tensor: Tensor) -> Tensor:
    """(T,B,D) as (T×B,D)."""
    return tf.reshape(tensor, [-1, tensor.shape[-1]])
