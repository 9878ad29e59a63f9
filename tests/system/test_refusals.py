"""What this package refuses on purpose is distinguished from what goes wrong in it."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from e91.model.numbers import check_positive
from e91.system.refusals import Refusal, is_refusal, refusals_marked, refusals_named


def raised(source, module="e91.planted"):
    """What a function of a module of this name raises, whose body is ``source``."""
    namespace = {"__name__": module, "np": np, "check_positive": check_positive}
    exec("def body():\n    " + source.replace("\n", "\n    "), namespace)
    with pytest.raises(Exception) as found:
        namespace["body"]()
    return found.value


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('No.')",
        "check_positive(width=-1)",
        "try:\n    float('x')\nexcept ValueError:\n    raise ValueError('No.') from None",
        "try:\n    raise ValueError('No.')\nfinally:\n    pass",
        "try:\n    raise ValueError('No.')\nexcept ValueError:\n    raise",
    ],
)
def test_what_our_code_raises_is_a_refusal(source):
    assert is_refusal(raised(source))


@pytest.mark.parametrize(
    "source",
    [
        "float('x')",
        "try:\n    float('x')\nexcept ValueError:\n    raise",
        "try:\n    float('x')\nfinally:\n    pass",
        "with np.errstate():\n    float('x')",
        "a, b = 1, 2, 3",
        "bool(np.zeros(2))",
        "np.zeros(2).reshape(3)",
        "np.load('x', mmap_mode='nonsense')",
        "raise TypeError('No.')",
        "raise KeyError('No.')",
        "b'\\xff'.decode()",
    ],
)
def test_what_merely_goes_wrong_is_none(source):
    assert not is_refusal(raised(source))


def test_what_a_foreign_module_raises_is_none():
    assert not is_refusal(raised("raise ValueError('No.')", module="scipy.special"))
    assert not is_refusal(raised("raise ValueError('No.')", module="e9100"))


def test_refusal_can_be_named_and_a_bug_not():
    refused = pytest.raises(ValueError, match=r"^In line 3: `width` must be")
    with refused as found, refusals_named("In line 3: "):
        check_positive(width=-1)
    assert is_refusal(found.value)
    broken = pytest.raises(ValueError, match=r"^could not convert")
    with broken as found, refusals_named("In line 3: "):
        float("x")
    assert not is_refusal(found.value)


def test_refusal_survives_the_way_from_another_process():
    with pytest.raises(Refusal) as found:
        refusals_marked(check_positive, width=-1)
    arrived = pickle.loads(pickle.dumps(found.value))
    assert is_refusal(arrived)
    assert str(arrived).startswith("`width` must be")


def test_bug_in_marked_work_stays_a_bug():
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(refusals_marked, float, "x").exception()
    assert type(error) is ValueError
    assert not is_refusal(error)
