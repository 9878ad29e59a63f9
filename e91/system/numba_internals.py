"""What numba offers to nobody in particular: processor instructions, borrowed arrays, its cache.

The interfaces that this module uses are not public, so another version of numba or llvmlite may
lack them.  `e91.system.compiled.compiled_code_may_run` imports it first, and is False if that
fails; every use of such an interface stands here.
"""

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import config
from numba.core import cgutils, codegen, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic
from numpy.typing import NDArray

_Arrays = TypeVar("_Arrays", bound=NDArray[Any] | tuple[Any, ...])
_Value = Any  # Of llvmlite and numba, which carry no types.

_PACKAGE = Path(__file__).parents[1]
_DAMAGED = (
    OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, ImportError,
    pickle.PickleError,
)  # fmt: skip


class _DiskCache:
    """numba's cache of a function, which neither a full disk nor a damaged file stops."""

    def __init__(self, function: Callable[..., object], on_failure: Callable[[], None]) -> None:
        self._cache = cast(Any, FunctionCache)(function)
        self._on_failure = on_failure
        # Kernels are compiled into those of other files, whose age numba does not look at.
        index = self._cache._cache_file
        index._source_stamp = (index._source_stamp, _stamp_of_all_kernels())

    @property
    def cache_path(self) -> str:
        """Folder of the files, for numba's statistics."""
        return str(self._cache.cache_path)

    def load_overload(self, signature: _Value, context: _Value) -> _Value:
        """Return the compiled function, or None if there is none that can be read."""
        try:
            return self._cache.load_overload(signature, context)
        except _DAMAGED:
            with suppress(OSError):
                self._cache.flush()  # else numba could not write it either
            return None

    def save_overload(self, signature: _Value, compiled: _Value) -> None:
        """Write the compiled function if it can be written."""
        try:
            self._cache.save_overload(signature, compiled)
        except _DAMAGED:  # numba reads its index before it writes
            self._on_failure()


def keep_on_disk(
    dispatcher: _Value, function: Callable[..., object], *, on_failure: Callable[[], None]
) -> None:
    """Let a compiled function be loaded from disk, and written there.

    Args:
        dispatcher: What numba made of the function, before its first call.
        function: The function.
        on_failure: Called each time when the machine code cannot be written.

    Raises:
        RuntimeError: There is no folder that can be written to.
    """
    dispatcher._cache = _DiskCache(function, on_failure)


@cache
def _stamp_of_all_kernels() -> str:
    files = [*sorted(_PACKAGE.rglob("*_kernels.py")), Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@intrinsic
def _borrowed(_context: _Value, arrays: _Value) -> _Value:
    def generate(context: _Value, builder: _Value, _: _Value, arguments: _Value) -> _Value:
        def bare(kind: _Value, value: _Value) -> _Value:
            if isinstance(kind, types.BaseTuple):
                parts = cgutils.unpack_tuple(builder, value)  # type: ignore[no-untyped-call]
                bares = [bare(*each) for each in zip(kind, parts, strict=True)]  # type: ignore[call-overload]
                return context.make_tuple(builder, kind, bares)
            view = context.make_array(kind)(context, builder, value)
            view.meminfo = ir.Constant(view.meminfo.type, None)
            view.parent = ir.Constant(view.parent.type, None)
            return view._getvalue()

        return bare(arrays, arguments[0])

    return arrays(arrays), generate


borrowed = cast(Callable[[_Arrays], _Arrays], _borrowed)
"""From an array, or a tuple of them, to the same without owners, which whoever calls must keep.

Without an owner nobody counts who uses an array, which takes longer than a small round.
"""


# Carry-less multiplication of vectors of as many 64-bit words: its name in LLVM, the features it
# needs, and how many vectors of output are gathered at once: 8 words in all, so that there can be
# blocks of 16 and 24 words, which take the least time a bit.
_WIDTHS = {
    8: ("llvm.x86.pclmulqdq.512", ("vpclmulqdq", "avx512f"), 1),
    4: ("llvm.x86.pclmulqdq.256", ("vpclmulqdq", "avx2"), 2),
    2: ("llvm.x86.pclmulqdq", ("pclmul",), 4),
}


def _lanes() -> int:
    chosen = config.CPU_FEATURES  # type: ignore[attr-defined]
    host = codegen.get_host_cpu_features()  # type: ignore[no-untyped-call]
    offered = set((host if chosen is None else chosen).split(","))
    fit = (
        lanes
        for lanes, (_, needed, _) in _WIDTHS.items()
        if offered.issuperset(f"+{feature}" for feature in needed)
    )
    return max(fit, default=0)


LANES = _lanes()
"""Words of the widest vectors on which the processor multiplies without carries, and for which
numba may compile here; 0 where there are none.  Then no product may be called.
"""


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
        """Return the address of the vector that begins ``words`` words behind ``pointer``."""
        for offset in offsets:
            index = ir.Constant(self.word, offset) if isinstance(offset, int) else offset
            pointer = self.builder.gep(pointer, [index])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer: _Value, *offsets: _Value) -> _Value:
        """Return the vector that begins ``words`` words behind ``pointer``."""
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


def _block_intrinsic(method: Callable[..., None]) -> Callable[..., None]:
    """Return a function for compiled code that writes ``method`` with vectors of `LANES` words.

    Its arguments are an array of words, the places in it of two arguments and the result, and the
    number of words.
    """

    def function(
        _: _Value, work: _Value, first: _Value, second: _Value, to: _Value, size: _Value
    ) -> _Value:
        def emit(context: _Value, builder: _Value, _: _Value, values: _Value) -> _Value:
            data = context.make_array(work)(context, builder, value=values[0]).data
            places = [builder.gep(data, [values[k]]) for k in (1, 2, 3)]
            method(_Emitter(builder, LANES), *places, values[4])
            return context.get_dummy_value()

        return types.void(work, first, second, to, size), emit

    return cast(Callable[..., None], intrinsic(function))


block_product, block_sum = _block_intrinsic(_Emitter.product), _block_intrinsic(_Emitter.sum)
