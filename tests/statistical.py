"""Statistical assertions with a stated false-alarm rate and a stated power."""

from scipy.stats import binom

FALSE_ALARM = 1e-9  # per assertion: a suite of 1000 such checks errs once in a million runs


def acceptance(n: int, p: float, *, alpha: float = FALSE_ALARM) -> tuple[int, int]:
    """Return the counts (low, high) between which a Binomial(n, p) count is accepted."""
    return int(binom.ppf(alpha / 2, n, p)), int(binom.isf(alpha / 2, n, p))


def assert_binomial(
    k: int, n: int, p: float, *, must_detect: float, alpha: float = FALSE_ALARM
) -> None:
    """Check that ``k`` of ``n`` is believable for probability ``p``.

    Args:
        k: Successes seen.
        n: Trials.
        p: The probability that the theory gives.
        must_detect: A wrong probability this check has to catch.  If ``n`` is too small to
            catch it 99.9 % of the time, the test itself is faulty and fails.
        alpha: False-alarm probability.
    """
    low, high = acceptance(n, p, alpha=alpha)
    missed = binom.cdf(high, n, must_detect) - binom.cdf(low - 1, n, must_detect)
    assert missed < 1e-3, f"{n} trials cannot tell p={p} from p={must_detect} (missed {missed:.2g})"
    assert low <= k <= high, f"{k}/{n} is outside [{low}, {high}], expected for p={p}"
