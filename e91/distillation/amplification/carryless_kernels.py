"""Toeplitz hashing by carry-less multiplication, compiled by numba: packed words in and out.

Bits as coefficients over GF(2) make the product of matrix and key a window of the product of two
polynomials, and one processor instruction multiplies 64 by 64 of their coefficients.  Written
first bit first, as `numpy.packbits` does, a bit string is a big number whose highest bit is the
first, so that neither bits nor bytes need be turned round: only the order of 64-bit words.

Blocks of `size` words are cut in halves down to `base` words.  With T0, T1, T2 the Toeplitz blocks
of the window from the lowest word up, v0 and v1 the lower and higher half of the key,

    lower half of T v = T1 v0 + T0 v1 = T1 (v0 + v1) + (T0 + T1) v1
    higher half       = T2 v0 + T1 v1 = T1 (v0 + v1) + (T1 + T2) v0

needs three products instead of four (Karatsuba's trick for Toeplitz matrices: Fan and Hasan,
IEEE Trans. Comput. 56, 224 (2007)).  Over GF(2) nothing is rounded.

This module needs numba.  `LANES` is 0 where the processor, or numba's settings, do not offer the
instruction; then nothing here may be called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import config, njit
from numba.core import cgutils, codegen, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from e91.system.compiled import compiled_code_may_run

_Words = NDArray[np.uint64]
_Value = Any  # Of llvmlite and numba, which carry no types.
_Function = TypeVar("_Function", bound=Callable[..., object])

# The instruction on vectors of so many 64-bit words: its name in LLVM, the features it needs, and
# how many vectors of output are gathered at once: 8 words in all, so that there can be blocks of 16
# and 24 words, which take the least time a bit.
_WIDTHS = {
    8: ("llvm.x86.pclmulqdq.512", ("vpclmulqdq", "avx512f"), 1),
    4: ("llvm.x86.pclmulqdq.256", ("vpclmulqdq", "avx2"), 2),
    2: ("llvm.x86.pclmulqdq", ("pclmul",), 4),
}


def _lanes() -> tuple[int, ...]:
    """Return the vector widths, in words, that numba may compile for here; the widest first."""
    if not compiled_code_may_run():
        return ()
    chosen = config.CPU_FEATURES  # type: ignore[attr-defined]
    host = codegen.get_host_cpu_features()  # type: ignore[no-untyped-call]
    offered = set((host if chosen is None else chosen).split(","))
    return tuple(
        lanes
        for lanes, (_, needed, _) in _WIDTHS.items()
        if offered.issuperset(f"+{feature}" for feature in needed)
    )


WIDTHS = _lanes()
LANES = max(WIDTHS, default=0)


def _compiled(function: _Function) -> _Function:
    """Compile at the first call, keep the result on disk, let other threads run meanwhile."""
    return cast(_Function, njit(cache=True, nogil=True)(function))


class _Emitter:
    """Writes the instructions of one block product: words S of the seed by words x of the key.

    The product of S[a] and x[b] has two words, at a + b and a + b + 1.  With x stored from its
    highest word down, x[i] meets S[d + 1 + i] in output word d.
    """

    def __init__(self, builder: _Value, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.vectors = _WIDTHS[lanes][2]
        self.word = ir.IntType(64)
        self.vector = ir.VectorType(self.word, lanes)
        signature = ir.FunctionType(self.vector, [self.vector, self.vector, ir.IntType(8)])
        self.instruction = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, signature, _WIDTHS[lanes][0]
        )

    def multiply(self, seed: _Value, key: _Value, half: int) -> _Value:
        """Multiply the low (0x00) or high words of pairs; 0x01 takes seed high and key low."""
        return self.builder.call(self.instruction, [seed, key, ir.Constant(ir.IntType(8), half)])

    def place(self, pointer: _Value, *offsets: _Value) -> _Value:
        """Return the address of the vector that begins so many words behind ``pointer``."""
        for offset in offsets:
            index = ir.Constant(self.word, offset) if isinstance(offset, int) else offset
            pointer = self.builder.gep(pointer, [index])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer: _Value, *offsets: _Value) -> _Value:
        """Return the vector that begins so many words behind ``pointer``."""
        return self.builder.load(self.place(pointer, *offsets), align=8)

    def broadcast(self, pointer: _Value, offset: _Value) -> _Value:
        """Return one word in every lane."""
        word = self.builder.load(self.builder.gep(pointer, [offset]))
        none = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(none, word, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, none, lanes)

    def zero(self) -> _Value:
        """Return a variable that holds the vector 0."""
        return cgutils.alloca_once_value(  # type: ignore[no-untyped-call]
            self.builder, ir.Constant(self.vector, [0] * self.lanes)
        )

    def add(self, variable: _Value, value: _Value) -> None:
        """XOR ``value`` into a variable, or into the memory at a pointer."""
        total = self.builder.xor(self.builder.load(variable, align=8), value)
        self.builder.store(total, variable, align=8)

    def loop(self, stop: _Value, step: int) -> _Value:
        """Open a loop over 0, step, 2 step, ... below ``stop``."""
        start, stride = (ir.Constant(self.word, value) for value in (0, step))
        return cgutils.for_range_slice(self.builder, start, stop, stride)

    def carry_in(self, seed: _Value, key: _Value, size: _Value) -> _Value:
        """Return a variable whose last lane is what the products below the window carry in."""
        total = self.zero()
        with self.loop(size, self.lanes) as (index, _):
            s, x = self.load(seed, index), self.load(key, index)
            for half in (0x00, 0x11):
                self.add(total, self.multiply(s, x, half))
        sums, carry = self.builder.load(total), ir.Constant(self.word, 0)
        for lane in range(1, self.lanes, 2):
            high = self.builder.extract_element(sums, ir.Constant(ir.IntType(32), lane))
            carry = self.builder.xor(carry, high)
        last = ir.Constant(ir.IntType(32), self.lanes - 1)
        self.builder.store(self.builder.insert_element(sums, carry, last), total)
        return total

    def sum(self, first: _Value, second: _Value, out: _Value, size: _Value) -> None:
        """Set ``size`` words at ``out`` to the XOR of those at ``first`` and ``second``."""
        with self.loop(size, self.lanes) as (index, _):
            total = self.builder.xor(self.load(first, index), self.load(second, index))
            self.builder.store(total, self.place(out, index), align=8)

    def product(self, seed: _Value, key: _Value, out: _Value, size: _Value) -> None:
        """XOR the ``size`` words of the product into ``out``."""
        before = self.carry_in(seed, key, size)
        with self.loop(size, self.lanes * self.vectors) as (row, _):
            even, odd = ([self.zero() for _ in range(self.vectors)] for _ in range(2))
            for variable in even + odd:
                self.builder.store(ir.Constant(self.vector, [0] * self.lanes), variable)
            with self.loop(size, 1) as (index, _):
                x = self.broadcast(key, index)
                for k in range(self.vectors):
                    s = self.load(seed, row, index, k * self.lanes + 1)
                    self.add(even[k], self.multiply(s, x, 0x00))
                    self.add(odd[k], self.multiply(s, x, 0x01))
            self.combine(even, odd, before, lambda k: self.place(out, row, k * self.lanes))

    def combine(
        self, even: list[_Value], odd: list[_Value], before: _Value, target: Callable[[int], _Value]
    ) -> None:
        """XOR the even words' products, and the odd ones' one word further up, into memory."""
        moved = [self.lanes - 1 + lane for lane in range(self.lanes)]
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), moved)
        for k in range(self.vectors):
            high = self.builder.load(odd[k])
            shifted = self.builder.shuffle_vector(self.builder.load(before), high, lanes)
            self.add(target(k), self.builder.xor(self.builder.load(even[k]), shifted))
            self.builder.store(high, before)


def _intrinsic(lanes: int, method: Callable[..., None]) -> Callable[..., None]:
    """Return a function for compiled code that writes ``method`` with vectors of ``lanes`` words.

    Its arguments are an array of words, the places in it of two arguments and the result, and the
    number of words.  Where the processor has no such vectors the widest there are serve, so that
    code which could choose them compiles everywhere.
    """
    width = lanes if lanes in WIDTHS else LANES

    def function(
        _: _Value, work: _Value, first: _Value, second: _Value, to: _Value, size: _Value
    ) -> _Value:
        def emit(context: _Value, builder: _Value, _: _Value, values: _Value) -> _Value:
            data = context.make_array(work)(context, builder, value=values[0]).data
            places = [builder.gep(data, [values[k]]) for k in (1, 2, 3)]
            method(_Emitter(builder, width), *places, values[4])
            return context.get_dummy_value()

        return types.void(work, first, second, to, size), emit

    return cast(Callable[..., None], intrinsic(function))


_product_8, _product_4, _product_2 = (_intrinsic(each, _Emitter.product) for each in (8, 4, 2))
_sum_8, _sum_4, _sum_2 = (_intrinsic(each, _Emitter.sum) for each in (8, 4, 2))


@_compiled
def _product(work: _Words, seed: int, key: int, out: int, size: int, lanes: int) -> None:
    """XOR the product of ``size`` words of key with the window of seed at ``seed`` into ``out``."""
    if lanes == 8:
        _product_8(work, seed, key, out, size)
    elif lanes == 4:
        _product_4(work, seed, key, out, size)
    else:
        _product_2(work, seed, key, out, size)


@_compiled
def _sum(work: _Words, first: int, second: int, out: int, size: int, lanes: int) -> None:
    """Set ``size`` words at ``out`` to the XOR of those at ``first`` and ``second``."""
    if lanes == 8:
        _sum_8(work, first, second, out, size)
    elif lanes == 4:
        _sum_4(work, first, second, out, size)
    else:
        _sum_2(work, first, second, out, size)


@_compiled
def multiply(work: _Words, size: int, base: int, lanes: int) -> None:
    """XOR a product into ``work``: 2 ``size`` words of seed, ``size`` of key, ``size`` of output.

    Behind these it needs 5 ``size`` words of scratch.  The three products of each level are done
    one after the other by walking the tree: compiled code that calls itself cannot be cached.
    """
    seed, key, out, stage = np.zeros((4, 64), np.int64)
    key[0], out[0], free, level = 2 * size, 3 * size, 4 * size, 0
    while level >= 0:
        half = (size >> level) // 2
        mixed, product, sums = free, free + half, free + 2 * half
        if half < base:
            _product(work, seed[level], key[level], out[level], base, lanes)
            stage[level] = 3
        elif stage[level] == 0:
            # All sums first: the processor waits where it reads across what it has just written.
            _sum(work, key[level], key[level] + half, mixed, half, lanes)
            _sum(work, seed[level], seed[level] + half, sums, 3 * half, lanes)
            for i in range(half):
                work[product + i] = np.uint64(0)
            seed[level + 1], key[level + 1], out[level + 1] = seed[level] + half, mixed, product
        elif stage[level] < 3:
            up = half * (stage[level] - 1)  # First the lower half of the output, then the higher.
            _sum(work, out[level] + up, product, out[level] + up, half, lanes)
            seed[level + 1] = sums + up
            key[level + 1], out[level + 1] = key[level] + up, out[level] + up
        if stage[level] == 3:
            level -= 1
            free -= 5 * (size >> level) // 2
        else:
            stage[level] += 1
            level += 1
            free += 5 * half
            stage[level] = 0


@_compiled
def multiply_blocks(
    seed: _Words, key: _Words, out: _Words, work: _Words, size: int, base: int, lanes: int
) -> None:
    """Set ``out`` to the product of a seed and a key that consist of blocks of ``size`` words.

    ``work`` is scratch of 9 ``size`` words.  One call for all blocks: between calls threads would
    wait for each other.
    """
    for row in range(len(out) // size):
        for i in range(size):
            work[3 * size + i] = np.uint64(0)
        for column in range(len(key) // size):
            for i in range(2 * size):
                work[i] = seed[(row + column) * size + i]
            for i in range(size):
                work[2 * size + i] = key[column * size + i]
            multiply(work, size, base, lanes)
        for i in range(size):
            out[row * size + i] = work[3 * size + i]
