"""Recipes and container files name what exists, and require what the package requires."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONTAINERS = sorted((ROOT / "packaging").glob("*.Containerfile"))


def squeezed(requirement):
    return requirement.replace(" ", "")


def test_conda_recipe_requires_what_the_package_requires():
    text = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    run = re.search(r"^  run:\n((?:    - .*\n)+)", text, re.MULTILINE)[1]
    required = {squeezed(line.removeprefix("    - ")) for line in run.splitlines()}
    wanted = {squeezed(each) for each in PROJECT["dependencies"]}
    assert required == wanted | {f"python{PROJECT['requires-python']}"}
    assert f'version: "{PROJECT["version"]}"' in text
    ((name, target),) = PROJECT["scripts"].items()
    assert f"- {name} = {target}" in text


@pytest.mark.parametrize("file", [*CONTAINERS, ROOT / "binder" / "postBuild"], ids=lambda f: f.name)
def test_every_path_and_extra_that_an_image_names_exists(file):
    text = file.read_text(encoding="utf-8")
    copied = [
        line.split()[:-1] for line in re.findall(r"^COPY (?:--\S+ )?(.*)$", text, re.MULTILINE)
    ]
    for path in [each for line in copied for each in line]:
        assert (ROOT / path).exists(), path
    extras = {each for found in re.findall(r"\.\[([\w,]+)\]", text) for each in found.split(",")}
    assert extras
    assert extras <= set(PROJECT["optional-dependencies"])


def test_containers_run_without_rights():
    assert len(CONTAINERS) == 2
    for file in CONTAINERS:
        lines = file.read_text(encoding="utf-8").splitlines()
        last_user = [line for line in lines if line.startswith("USER ")][-1]
        assert last_user not in ("USER root", "USER 0")


def test_ecosystem_entry_is_short_enough_and_says_what_the_package_says():
    text = (ROOT / "packaging" / "qiskit_ecosystem.toml").read_text(encoding="utf-8")
    entry = tomllib.loads(text)
    assert entry["description"] == PROJECT["description"]
    assert len(entry["description"]) <= 135
    assert len(entry["labels"]) <= 5
    assert entry["licence"] == PROJECT["license"]
