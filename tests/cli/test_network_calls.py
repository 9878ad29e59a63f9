"""`e91 network calls`."""

import json


def test_a_network_s_calls_as_text_and_as_json(status):
    code, printed, _ = status("network", "calls", "cambridge-2019")
    assert code == 0
    assert "cambridge-2019  4,800,000" in printed
    assert "speech at 64 kbit/s" in printed
    code, printed, _ = status("network", "calls", "cambridge-2019", "--json")
    found = json.loads(printed)
    assert code == 0
    assert found["networks"][0]["calls_at_once"]["sound-64k"] == 31
    assert found["media"][2]["pad_bits_per_second_both_ways"] == 153_600


def test_an_unknown_network_is_refused(status):
    code, _, said = status("network", "calls", "cambrigde-2019")
    assert code == 2
    assert "cambridge-2019" in said


def test_a_figure_of_two_networks_is_refused(status, tmp_path):
    figure = tmp_path / "pictures.svg"
    code, _, said = status("network", "calls", "tokyo-2010", "micius", "--figure", str(figure))
    assert code == 2
    assert "`--figure` must come with one NAME, but there are 2." in said
    assert not figure.exists()
