"""A recurrence over all positions of a batch, with its gradient, for training.

Keras's loop multiplies the input of one position after the other, and adds up the gradient of
each kernel position by position. Here both are one product over all positions, outside of the
loop; so is every part of the gradient that does not depend on the next position.
Shapes: B sentences, T positions, U units, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from s2s_cli.runtime.hardware import processor_flags

Tensor = Any
TensorList = list[Tensor]


class Cell(NamedTuple):
    """What a recurrent cell does at one position, and its gradient. All values are float32,
    but for `projected` and `recurrent`, which have the precision of the products.

    forward(projected (B,G×U), recurrent (B,G×U), states) → the new states, and the tensors
    that are saved for the backward pass. `projected` is the product with the inputs,
    `recurrent` that with the hidden state.
    local_gradients(saved, states before, mask) → what `backward` multiplies with, computed for
    all positions at once. Where mask (T,B,1) is 0, gradients pass unchanged.
    backward(local gradients, gradients of the new states) → gradients of projected, of
    recurrent, and of the states before, without the way through `recurrent`.
    """

    forward: Callable[[Tensor, Tensor, TensorList], tuple[TensorList, TensorList]]
    local_gradients: Callable[[TensorList, TensorList, Tensor | None], TensorList]
    backward: Callable[[TensorList, TensorList], tuple[Tensor, Tensor, TensorList]]
    saved: int
    """How many tensors `forward` saves."""
    adds_products: bool
    """Whether projected and recurrent are only added, so that their gradients are the same."""


def _lstm_forward(
    projected: Tensor, recurrent: Tensor, states: TensorList
) -> tuple[TensorList, TensorList]:
    # Added before the cast, so that TensorFlow fuses the addition with the product.
    gates = tf.sigmoid(tf.cast(recurrent + projected, tf.float32))
    i, f, g, o = tf.split(gates, 4, axis=-1)
    cell = f * states[1] + i * _tanh_from_sigmoid(g)
    return [o * tf.tanh(cell), cell], [gates]


def _lstm_local_gradients(saved: TensorList, states: TensorList, mask: Tensor | None) -> TensorList:
    i, f, g, o = tf.split(saved[0], 4, axis=-1)
    candidate = _tanh_from_sigmoid(g)
    squashed = tf.tanh(f * states[1] + i * candidate)
    of_cell = o * (1 - squashed * squashed)
    by_cell = [candidate * i * (1 - i), states[1] * f * (1 - f), 2 * i * g * (1 - g)]
    of_output = squashed * o * (1 - o)
    passed = []
    if mask is not None:
        by_cell = [gradient * mask for gradient in by_cell]
        of_cell, of_output = of_cell * mask, of_output * mask
        f, passed = f * mask + (1 - mask), [1 - mask]
    return [tf.concat([*by_cell, of_output], axis=2), of_cell, f, *passed]


def _lstm_backward(
    local_gradients: TensorList, gradients: TensorList
) -> tuple[Tensor, Tensor, TensorList]:
    by_gate, of_cell, forget, *passed = local_gradients
    hidden, cell = gradients
    cell += hidden * of_cell
    gates = tf.concat([cell, cell, cell, hidden], axis=1) * by_gate
    direct = hidden * passed[0] if passed else 0.0
    return gates, gates, [direct, cell * forget]


def _tanh_from_sigmoid(sigmoid: Tensor) -> Tensor:
    """tanh(x / 2) from sigmoid(x)."""
    return 2 * sigmoid - 1


def _gru_forward(
    projected: Tensor, recurrent: Tensor, states: TensorList
) -> tuple[TensorList, TensorList]:
    (z, r, candidate), (recurrent_z, recurrent_r, recurrent_candidate) = (
        tf.split(tf.cast(tensor, tf.float32), 3, axis=-1) for tensor in (projected, recurrent)
    )
    z, r = tf.sigmoid(z + recurrent_z), tf.sigmoid(r + recurrent_r)
    candidate = tf.tanh(candidate + r * recurrent_candidate)
    return [z * states[0] + (1 - z) * candidate], [z, r, candidate, recurrent_candidate]


def _gru_local_gradients(saved: TensorList, states: TensorList, mask: Tensor | None) -> TensorList:
    z, r, candidate, recurrent_candidate = saved
    of_candidate = (1 - z) * (1 - candidate * candidate)
    of_z = (states[0] - candidate) * z * (1 - z)
    if mask is not None:
        of_candidate, of_z = of_candidate * mask, of_z * mask
        z = z * mask + (1 - mask)
    of_r = of_candidate * recurrent_candidate * r * (1 - r)
    return [
        tf.concat([of_z, of_r, of_candidate], axis=2),
        tf.concat([of_z, of_r, of_candidate * r], axis=2),
        z,
    ]


def _gru_backward(
    local_gradients: TensorList, gradients: TensorList
) -> tuple[Tensor, Tensor, TensorList]:
    projected, recurrent, passed = local_gradients
    (hidden,) = gradients
    gates = tf.concat([hidden, hidden, hidden], axis=1)
    return gates * projected, gates * recurrent, [hidden * passed]


# The LSTM expects the columns of its candidate gate doubled: with tanh(x) = 2 sigmoid(2x) - 1,
# one function serves all gates.
LSTM_CELL = Cell(_lstm_forward, _lstm_local_gradients, _lstm_backward, saved=1, adds_products=True)
GRU_CELL = Cell(_gru_forward, _gru_local_gradients, _gru_backward, saved=4, adds_products=False)


def recurrence(
    cell: Cell,
    projected: Tensor,
    states: TensorList,
    kernel: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    keep: Tensor | None = None,
) -> tuple[Tensor, TensorList]:
    """projected (T,B,G×U), states (B,U) → hidden (T,B,U), the last states.

    `kernel` (U,G×U) and `bias` (G×U,) are those of the product with the hidden state. Where
    mask (T,B,1) is False, the states do not change. The hidden state is multiplied with
    keep (B,U) before the product, if that is given (https://arxiv.org/abs/1512.05287). Products
    have the precision of the kernel, all else is float32.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(projected: Tensor, kernel: Tensor, bias: Tensor, *states: Tensor) -> Any:
        last, after, saved = _forwards(cell, projected, list(states), kernel, bias, mask, keep)

        def gradient(of_hidden: Tensor, *of_last: Tensor) -> Any:
            before = [
                tf.concat([first[None], stack[:-1]], axis=0)
                for first, stack in zip(states, after, strict=True)
            ]
            present = None if mask is None else tf.cast(mask, tf.float32)
            local_gradients = cell.local_gradients(saved, before, present)
            of_projected, of_recurrent, of_states = _backwards(
                cell, local_gradients, of_hidden, list(of_last), kernel, keep
            )
            hidden = tf.cast(_flat(_kept(before[0], keep)), kernel.dtype)
            of_kernel = tf.matmul(hidden, _flat(of_recurrent), transpose_a=True)
            of_bias = tf.reduce_sum(tf.cast(of_recurrent, tf.float32), axis=[0, 1])
            return of_projected, of_kernel, of_bias, *of_states

        return (after[0], *last), gradient

    states = [tf.cast(state, tf.float32) for state in states]
    hidden, *last = run(projected, kernel, tf.cast(bias, tf.float32), *states)
    return tf.cast(hidden, kernel.dtype), [tf.cast(state, kernel.dtype) for state in last]


def _forwards(
    cell: Cell,
    projected: Tensor,
    states: TensorList,
    kernel: Tensor,
    bias: Tensor,
    mask: Tensor | None,
    keep: Tensor | None,
) -> tuple[TensorList, TensorList, TensorList]:
    """The last states; the states after each position, (T,B,U); what is saved for backward."""
    product, bias = row_product(kernel), tf.cast(bias, kernel.dtype)

    def advance(projected: Tensor, states: TensorList) -> tuple[TensorList, TensorList]:
        hidden = tf.cast(_kept(states[0], keep), kernel.dtype)
        recurrent = tf.nn.bias_add(product(hidden), bias)
        return cell.forward(projected, recurrent, states)

    return scan(advance, projected, states, mask, saved=cell.saved)


def scan(
    advance: Callable[[Tensor, TensorList], tuple[TensorList, TensorList]],
    inputs: Tensor,
    states: TensorList,
    mask: Tensor | None,
    *,
    saved: int = 0,
    backwards: bool = False,
) -> tuple[TensorList, TensorList, TensorList]:
    """inputs (T,B,I), states (B,U) → the last states; the states after each position, (T,B,U);
    and the `saved` tensors that `advance` returns besides, of each position.

    Where mask (T,B,1) is False, the states do not change. Going backwards, all tensors keep
    the order of their positions, and the last states are those of position 0.
    """
    length = tf.shape(inputs)[0]
    is_known = tf.TensorShape(inputs.shape).is_fully_defined()
    if is_known and inputs.shape[1] == 1 and not tf.executing_eagerly():
        return _scan_one(advance, inputs, states, mask, backwards=backwards)

    def step(count: Tensor, states: TensorList, after: Any, notes: Any) -> Any:
        position = length - 1 - count if backwards else count
        new, values = advance(inputs[position], states)
        if mask is not None:
            present = mask[position]
            new = [tf.where(present, a, b) for a, b in zip(new, states, strict=True)]
        after = [array.write(position, state) for array, state in zip(after, new, strict=True)]
        notes = [array.write(position, value) for array, value in zip(notes, values, strict=True)]
        return count + 1, new, after, notes

    _, last, after, notes = tf.while_loop(
        lambda count, *_: count < length,
        step,
        (0, states, _arrays(len(states), length), _arrays(saved, length)),
        parallel_iterations=1,
    )
    return last, [array.stack() for array in after], [array.stack() for array in notes]


def _scan_one(
    advance: Callable[[Tensor, TensorList], tuple[TensorList, TensorList]],
    inputs: Tensor,
    states: TensorList,
    mask: Tensor | None,
    *,
    backwards: bool,
) -> tuple[TensorList, TensorList, TensorList]:
    """`scan` in a graph for one sentence of a known length.

    It has no arrays: LiteRT writes to an array by cutting it in two, which XNNPACK, its faster part,
    cannot do where a half is empty.
    """
    length = inputs.shape[0]
    is_here = tf.reshape(tf.range(length), [-1, 1, 1])

    def write(position: Tensor, stacks: TensorList, values: TensorList) -> TensorList:
        return [
            tf.where(is_here == position, value, stack)
            for stack, value in zip(stacks, values, strict=True)
        ]

    def step(count: Tensor, states: TensorList, after: TensorList, notes: TensorList) -> Any:
        position = length - 1 - count if backwards else count
        new, values = advance(inputs[position], states)
        if mask is not None:
            new = [tf.where(mask[position], a, b) for a, b in zip(new, states, strict=True)]
        return count + 1, new, write(position, after, new), write(position, notes, values)

    # Called for the shapes alone; nothing uses these values.
    after, notes = (
        [tf.zeros([length, *value.shape], value.dtype) for value in values]
        for values in advance(inputs[0], states)
    )
    _, last, after, notes = tf.while_loop(
        lambda count, *_: count < length, step, (0, states, after, notes)
    )
    return last, after, notes


def _backwards(
    cell: Cell,
    local_gradients: TensorList,
    of_hidden: Tensor,
    of_last: TensorList,
    kernel: Tensor,
    keep: Tensor | None,
) -> tuple[Tensor, Tensor, TensorList]:
    """Gradients of projected and of recurrent, (T,B,G×U), and of the first states."""
    length = tf.shape(of_hidden)[0]
    product = row_product(tf.transpose(kernel))

    def step(position: Tensor, gradients: TensorList, arrays: TensorList) -> Any:
        of_projected, of_recurrent, of_states = cell.backward(
            [gradient[position] for gradient in local_gradients],
            [gradients[0] + of_hidden[position], *gradients[1:]],
        )
        of_recurrent = tf.cast(of_recurrent, kernel.dtype)
        of_states[0] += _kept(tf.cast(product(of_recurrent), tf.float32), keep)
        values = [of_recurrent]
        if not cell.adds_products:
            values.append(tf.cast(of_projected, kernel.dtype))
        arrays = [array.write(position, value) for array, value in zip(arrays, values, strict=True)]
        return position - 1, of_states, arrays

    _, of_states, arrays = tf.while_loop(
        lambda position, *_: position >= 0,
        step,
        (length - 1, of_last, _arrays(1 if cell.adds_products else 2, length, kernel.dtype)),
        parallel_iterations=1,
    )
    stacks = [array.stack() for array in arrays]
    return stacks[-1], stacks[0], of_states


def row_product(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """rows (B,M) → rows × matrix (M,N), for a product of few rows that is computed many times.

    With AVX-512, the second matrix as it is takes half the time that it takes transposed;
    without AVX-512, twice that time.
    """
    if "avx512f" in processor_flags():
        return lambda rows: tf.matmul(rows, matrix)
    transposed = tf.transpose(matrix)
    return lambda rows: tf.matmul(rows, transposed, transpose_b=True)


def _kept(hidden: Tensor, keep: Tensor | None) -> Tensor:
    return hidden if keep is None else hidden * keep


def _arrays(count: int, length: Tensor, dtype: Any = tf.float32) -> TensorList:
    return [tf.TensorArray(dtype, size=length) for _ in range(count)]


def _flat(tensor: Tensor) -> Tensor:
    """(T,B,D) as (T×B,D)."""
    return tf.reshape(tensor, [-1, tensor.shape[-1]])
