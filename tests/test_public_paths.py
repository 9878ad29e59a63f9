"""Whatever takes a file's path takes it as a string, too."""

import inspect
from importlib import import_module
from pkgutil import iter_modules

import e91
from e91.devices import exact_device
from e91.plots import game_scale
from e91.recorded import load_detections, save_detections


def public_functions():
    """Yield the functions that the rooms list, with their full names."""
    for module in iter_modules(e91.__path__):
        room = import_module(f"e91.{module.name}") if not module.name.startswith("__") else e91
        for name in getattr(room, "__all__", ()):
            if inspect.isfunction(found := getattr(room, name)):
                yield f"{room.__name__}.{name}", found


def test_no_public_function_takes_a_path_alone():
    functions = dict(public_functions())
    taking = {
        f"{name}({argument})": str(kind)
        for name, function in functions.items()
        for argument, kind in function.__annotations__.items()
        if argument != "return" and "Path" in str(kind)
    }
    assert len(functions) > 100
    assert len(taking) > 15
    assert {name: kind for name, kind in taking.items() if "str" not in kind} == {}


def test_a_string_names_the_same_file(tmp_path):
    device = exact_device(visibility=0.97, seed=1)
    made = e91.run(device, rounds=2000, seed=1, keep_record=True).record
    save_detections(str(tmp_path / "night.npz"), made)
    read = [load_detections(name) for name in (tmp_path / "night.npz", str(tmp_path / "night.npz"))]
    assert [len(found.record) for found in read] == [2000, 2000]
    e91.plots.save_figure(lambda: game_scale(840, 1000), str(tmp_path / "game.png"))
    assert (tmp_path / "game.png").stat().st_size > 1000
