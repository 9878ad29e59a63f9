"""Codes looked up 64 at a time, where the processor permutes the bytes of a vector by an index.

A table of 64 bytes fills one vector register, and one instruction (`vpermb`, AVX-512 VBMI) looks up
64 codes in it.  `AVAILABLE` is False where the processor, or numba's settings, do not offer it;
then nothing here may be called.  Codes from 64 on have the entry 0.
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

from e91.model.bits import Bits
from e91.system.compiled import compiled_code_may_run

_Function = TypeVar("_Function", bound=Callable[..., object])
_Value = Any  # of llvmlite and numba, which carry no types
Words = NDArray[np.uint64]

ROUNDS = 64
"""Codes of a vector, and the number of codes that a table can hold."""

_AT_ONCE = 128  # vectors that are counted before a byte of a counter could be full
_CELLS = 4  # counted in one pass over them


def _available() -> bool:
    if not compiled_code_may_run():
        return False
    chosen = config.CPU_FEATURES  # type: ignore[attr-defined]
    host = codegen.get_host_cpu_features()  # type: ignore[no-untyped-call]
    offered = set((host if chosen is None else chosen).split(","))
    return offered.issuperset({"+avx512bw", "+avx512vbmi"})


AVAILABLE = _available()

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_VECTOR = ir.VectorType(_BYTE, ROUNDS)


def kernel(function: _Function) -> _Function:
    """Compile ``function`` once, keep it on disk, and let other threads run meanwhile."""
    return cast(_Function, njit(cache=True, nogil=True)(function))


def _vector(context: _Value, builder: _Value, kind: _Value, array: _Value, at: _Value) -> _Value:
    """Return the place of the vector that begins at byte ``at`` of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


def _entries(builder: _Value, table: _Value, index: _Value) -> _Value:
    """Return the entries of 64 codes, 0 for those that the table does not hold."""
    small = builder.icmp_unsigned("<", index, _splat(ROUNDS))
    return builder.select(small, _permuted(builder, table, index), _splat(0))


def _permuted(builder: _Value, table: _Value, index: _Value) -> _Value:
    kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR])
    name = "llvm.x86.avx512.permvar.qi.512"
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, kind, name
    )
    return builder.call(function, [table, index])


def _splat(value: int) -> _Value:
    return ir.Constant(_VECTOR, [value] * ROUNDS)


def _intrinsic(function: Callable[..., _Value]) -> Callable[..., Any]:
    return cast(Callable[..., Any], intrinsic(function))


def _several(kind: _Value, count: int) -> _Value:
    return types.UniTuple(kind, count)  # type: ignore[no-untyped-call]


@_intrinsic
def _translate(_: _Value, codes: _Value, at: _Value, table: _Value, out: _Value) -> _Value:
    """Write the entries of 64 codes."""

    def emit(context: _Value, builder: _Value, _: _Value, values: _Value) -> _Value:
        index = builder.load(_vector(context, builder, codes, values[0], values[1]), align=1)
        start = ir.Constant(_WORD, 0)
        entries = builder.load(_vector(context, builder, table, values[2], start), align=1)
        place = _vector(context, builder, out, values[3], values[1])
        builder.store(_entries(builder, entries, index), place, align=1)
        return context.get_dummy_value()

    return types.void(codes, at, table, out), emit


@_intrinsic
def _masks(_: _Value, codes: _Value, at: _Value, table: _Value) -> _Value:
    """Return bits 0, 1 and 2 of the entries of 64 codes, the first code in the highest place."""

    def emit(context: _Value, builder: _Value, signature: _Value, values: _Value) -> _Value:
        index = builder.load(_vector(context, builder, codes, values[0], values[1]), align=1)
        start = ir.Constant(_WORD, 0)
        entries = builder.load(_vector(context, builder, table, values[2], start), align=1)
        back = ir.Constant(_VECTOR, list(range(ROUNDS - 1, -1, -1)))
        found = _entries(builder, entries, _permuted(builder, index, back))
        masks = [
            builder.bitcast(
                builder.icmp_unsigned("!=", builder.and_(found, _splat(bit)), _splat(0)), _WORD
            )
            for bit in (1, 2, 4)
        ]
        return context.make_tuple(builder, signature.return_type, masks)

    return _several(types.uint64, 3)(codes, at, table), emit


@_intrinsic
def _count(_: _Value, codes: _Value, at: _Value, vectors: _Value, cell: _Value) -> _Value:
    """Return how often each of four codes from ``cell`` occurs in up to 255 vectors."""

    def emit(context: _Value, builder: _Value, signature: _Value, values: _Value) -> _Value:
        wanted = [
            _broadcast(builder, builder.add(values[3], ir.Constant(_WORD, step)))
            for step in range(_CELLS)
        ]
        sums = [cgutils.alloca_once(builder, _VECTOR) for _ in wanted]  # type: ignore[no-untyped-call]
        for total in sums:
            builder.store(_splat(0), total)
        start, stride = (ir.Constant(_WORD, value) for value in (0, 1))
        with cgutils.for_range_slice(builder, start, values[2], stride) as (number, _):
            offset = builder.add(values[1], builder.mul(number, ir.Constant(_WORD, ROUNDS)))
            found = builder.load(_vector(context, builder, codes, values[0], offset), align=1)
            for total, code in zip(sums, wanted, strict=True):
                equal = builder.sext(builder.icmp_unsigned("==", found, code), _VECTOR)
                builder.store(builder.sub(builder.load(total), equal), total)
        counts = [_sum(builder, builder.load(total)) for total in sums]
        return context.make_tuple(builder, signature.return_type, counts)

    return _several(types.int64, _CELLS)(codes, at, vectors, cell), emit


def _broadcast(builder: _Value, word: _Value) -> _Value:
    """Return the low byte of a word in every lane."""
    none, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(none, builder.trunc(word, _BYTE), ir.Constant(index, 0))
    lanes = ir.Constant(ir.VectorType(index, ROUNDS), [0] * ROUNDS)
    return builder.shuffle_vector(first, none, lanes)


def _sum(builder: _Value, counts: _Value) -> _Value:
    """Return the sum of 64 bytes."""
    eight = ir.VectorType(_WORD, 8)
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, ir.FunctionType(eight, [_VECTOR, _VECTOR]), "llvm.x86.avx512.psad.bw.512"
    )
    eighths, total = builder.call(function, [counts, _splat(0)]), ir.Constant(_WORD, 0)
    for lane in range(8):
        part = builder.extract_element(eighths, ir.Constant(ir.IntType(32), lane))
        total = builder.add(total, part)
    return total


@kernel
def translate(codes: Bits, table: Bits, out: Bits) -> None:
    """Write the entry of each code.

    Args:
        codes: Shape (64 m,).
        table: Shape (64,).
        out: Receives the entries; shape (64 m,).
    """
    for at in range(0, codes.size, ROUNDS):
        _translate(codes, at, table, out)


@kernel
def gather(codes: Bits, table: Bits, first: Words, second: Words, third: Words) -> None:
    """Collect bits 0, 1 and 2 of the entries of 64 codes in one word each.

    Args:
        codes: Shape (64 m,).
        table: Shape (64,).
        first: Receives bits 0, the first round in the highest place; shape (m,).
        second: Receives bits 1.
        third: Receives bits 2.
    """
    for place in range(codes.size // ROUNDS):
        first[place], second[place], third[place] = _masks(codes, ROUNDS * place, table)


@kernel
def tally(codes: Bits, counts: NDArray[np.int64]) -> None:
    """Add how often each code occurs to ``counts``.

    Args:
        codes: Shape (64 m,).
        counts: Shape (4 k,): the codes from 4 k on are not counted.
    """
    total = codes.size // ROUNDS
    for start in range(0, total, _AT_ONCE):
        vectors = min(_AT_ONCE, total - start)
        for cell in range(0, counts.size, _CELLS):
            some = _count(codes, ROUNDS * start, vectors, cell)
            for step in range(_CELLS):
                counts[cell + step] += some[step]
