"""Parities of packed words, compiled by numba, for either party of Cascade.

`e91.distillation.cascade_numpy` gives the same without numba, which this module needs.  The
functions write into arrays that they are given, and check nothing except the other party's
questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import int64, njit, types, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

from e91.distillation.cascade_plan import Edges, Places, Questions, Words

_Function = TypeVar("_Function", bound=Callable[..., object])
_Value = Any  # of llvmlite and numba, which carry no types

integer = cast(Callable[[Any], int], int64)
"""To signed integers, without which numba would make a sum with an unsigned one a float."""

ONE, ALL = np.uint64(1), np.uint64(2**64 - 1)


_compiler = cast(Any, njit)  # whose types do not know all its options


def compiled(function: _Function) -> _Function:
    """Compile at the first call, keep the result on disk, let other threads run meanwhile."""
    return cast(_Function, _compiler(cache=True, nogil=True, no_cfunc_wrapper=True)(function))


def part(function: _Function) -> _Function:
    """Compile a function for other kernels only, which spares its faces to Python and C."""
    faces = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(_Function, _compiler(cache=True, nogil=True, **faces)(function))


def _bit_counter(name: str, *, zero_is_poison: bool) -> Callable[[np.uint64], np.uint64]:
    """Return an intrinsic of LLVM that counts bits of a word."""

    @intrinsic
    def count(_context: _Value, _word: _Value) -> _Value:
        def generate(_: _Value, builder: _Value, __: _Value, arguments: _Value) -> _Value:
            word = ir.IntType(64)
            extra = [ir.Constant(ir.IntType(1), 0)] if zero_is_poison else []
            kind = ir.FunctionType(word, [word, *(value.type for value in extra)])
            function = builder.module.declare_intrinsic(name, [word], kind)
            return builder.call(function, [*arguments, *extra])

        return types.uint64(types.uint64), generate

    return cast(Callable[[np.uint64], np.uint64], count)


ones = _bit_counter("llvm.ctpop", zero_is_poison=False)
zeros_below = _bit_counter("llvm.cttz", zero_is_poison=True)
zeros_above = _bit_counter("llvm.ctlz", zero_is_poison=True)


@intrinsic
def _prefetch(_context: _Value, array: _Value, _offset: _Value) -> _Value:
    """Bring the element at a flat offset into the cache, for a contiguous array; no effect else."""

    def generate(context: _Value, builder: _Value, signature: _Value, arguments: _Value) -> _Value:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        # For writing, into the innermost cache, data.
        builder.call(function, [address, *(ir.Constant(flag, value) for value in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


prefetch = cast(Callable[[NDArray[Any], int], None], _prefetch)


@part
def _transpose(tile: Words) -> None:
    """Exchange rows and columns of 64 words of 64 bits: Warren, Hacker's Delight, section 7-3."""
    width = 32
    mask = ALL >> uint64(32)
    while width:
        for i in range(0, 64, 2 * width):
            for j in range(i, i + width):
                swap = ((tile[j] >> uint64(width)) ^ tile[j + width]) & mask
                tile[j + width] ^= swap
                tile[j] ^= swap << uint64(width)
        width >>= 1
        mask ^= mask << uint64(width)


@compiled
def prefix_parities(words: Words, order: Places, edges: Edges, told: Words, table: Words) -> None:
    """Write the parities before the edges, and before every place of every frame."""
    tile = np.empty(64, np.uint64)
    lanes = table.shape[0] // words.shape[0]
    for group in range(words.shape[0]):
        total, edge = uint64(0), 0
        for first in range(0, order.size + 1, 64):
            for place in range(first, first + 64):
                if edge < edges.size and edges[edge] == place:
                    told[group, edge] = total
                    edge += 1
                tile[place - first] = total
                if place < order.size:
                    total ^= words[group, order[place]]
            _transpose(tile)
            for lane in range(lanes):
                table[group * lanes + lane, first >> 6] = tile[lane]


@compiled
def look_up(table: Words, passes: int, places: int, questions: Questions, answers: Words) -> bool:
    """Write the parity that each question asks for, 64 to a word; False for a senseless one."""
    answers[:] = uint64(0)
    for i in range(questions.size):
        question = integer(questions[i])
        number, frame, place = question >> 27, (question >> 16) & 2047, question & 65535
        if number >= passes or frame >= table.shape[1] or not 0 < place < places:
            return False
        bit = (table[number, frame, place >> 6] >> uint64(place & 63)) & ONE
        answers[i >> 6] |= bit << uint64(i & 63)
    return True


@compiled
def subset_parities(words: Words, masks: Words, count: int) -> int:
    """Return ``count`` parities of random subsets as a number, the first in its lowest bit."""
    result = 0
    for i in range(count):
        word = uint64(0)
        for place in range(words.size):
            word ^= words[place] & masks[place + i]
        result |= integer(ones(word) & ONE) << i
    return result
