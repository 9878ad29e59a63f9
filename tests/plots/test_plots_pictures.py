"""What a picture looks like at a budget: encoded within it, and as near as it gets."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from e91.network import CarriedCalls
from e91.plots import drawn_scene, pictures_at_budgets, pictures_figure


@pytest.fixture(scope="module")
def found():
    return pictures_at_budgets(drawn_scene(), [2_000, 16_000])


def test_a_picture_costs_no_more_than_its_budget_and_nearly_all_of_it(found):
    for one in found:
        assert 0.9 * one.budget_bits < one.key_bits <= one.budget_bits
        assert one.picture.shape == (240, 320, 3)


def test_more_key_gives_a_picture_nearer_to_the_original(found):
    low, high = found
    assert low.width < high.width == 320
    for one in found:
        error = np.mean((drawn_scene().astype(float) - one.picture) ** 2)
        assert one.psnr_db == pytest.approx(10 * np.log10(255**2 / error))
    assert low.psnr_db + 5 < high.psnr_db


def test_the_next_better_quality_does_not_fit(found):
    sent = Image.fromarray(drawn_scene()).resize((40, 30), Image.Resampling.LANCZOS)
    costs = []
    for quality in range(101):
        written = BytesIO()
        sent.save(written, "WEBP", quality=quality)
        costs.append(8 * written.tell() + 256)
    assert found[0].width == 40
    assert found[0].key_bits == max(cost for cost in costs if cost <= 2_000)


def test_a_budget_for_no_picture_is_refused():
    with pytest.raises(ValueError, match="enough for a small picture, but is 300 bits"):
        pictures_at_budgets(drawn_scene(), [300])


def test_captions_say_how_many_a_second_the_pairs_of_a_network_exchange(found):
    network = CarriedCalls("three", 3, 64_000.0, 16_000.0, 1.0)
    first, low, high = pictures_figure(drawn_scene(), found, network=network)
    assert first.get_title() == "original"
    assert low.get_title().splitlines()[::2] == ["2,000 key bits", "16 / 4 a second"]
    assert high.get_title().splitlines()[::2] == ["16,000 key bits", "120 / 30 a minute"]
    np.testing.assert_array_equal(high.images[0].get_array(), found[1].picture)
