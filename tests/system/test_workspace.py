"""A workspace gives the same memory again to one run, and to no other."""

import numpy as np

from e91.system.workspace import Workspace


def test_array_of_one_name_and_kind_lies_in_the_same_memory_again():
    workspace = Workspace(compiled=False)
    first = workspace.array("words", (4, 100), np.uint64)
    again = workspace.array("words", (5, 79), np.uint64)
    assert (again.shape, again.dtype, again.flags.c_contiguous) == ((5, 79), np.uint64, True)
    assert np.shares_memory(first, again)


def test_slightly_longer_array_lies_in_the_same_memory_again():
    workspace = Workspace(compiled=False)
    first = workspace.array("words", (1000,), np.uint64)
    assert np.shares_memory(first, workspace.array("words", (1001,), np.uint64))


def test_arrays_of_other_names_kinds_and_workspaces_do_not_meet():
    workspace = Workspace(compiled=False)
    arrays = [
        workspace.array("words", (100,), np.uint64),
        workspace.array("places", (100,), np.uint64),
        workspace.array("words", (100,), np.uint16),
        Workspace(compiled=False).array("words", (100,), np.uint64),
    ]
    for i, array in enumerate(arrays):
        array[:] = i
    assert [set(array.tolist()) for array in arrays] == [{0}, {1}, {2}, {3}]


def test_much_longer_array_is_made_anew_and_the_old_one_stays_whole():
    workspace = Workspace(compiled=False)
    short = workspace.array("words", (10,), np.uint64)
    short[:] = 7
    long = workspace.array("words", (1000,), np.uint64)
    long[:] = 0
    assert short.tolist() == [7] * 10
    assert np.shares_memory(long, workspace.array("words", (10,), np.uint64))
