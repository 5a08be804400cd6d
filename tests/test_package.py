"""The metadata of the distribution is complete and agrees with the program and its documents."""

import re
import tomllib
from pathlib import Path

from dlnotes_cli import __version__

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOW = (ROOT / ".github/workflows/test.yml").read_text()
CITATION = (ROOT / "CITATION.cff").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def python_versions() -> list[str]:
    return re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_distribution_has_a_name_of_its_own_and_the_command_is_dlnotes() -> None:
    assert PROJECT["name"] == "dlnotes-cli"
    assert PROJECT["scripts"] == {"dlnotes": "dlnotes_cli.__main__:main"}


def test_the_workflow_tests_every_version_of_python_that_is_declared() -> None:
    assert PROJECT["requires-python"] == f">={python_versions()[0]}"
    matrix = re.search(r"python: \[(.*)\]", WORKFLOW)
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == python_versions()


def test_the_package_data_exists() -> None:
    for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["dlnotes_cli"]:
        assert list((ROOT / "dlnotes_cli").glob(pattern)), pattern


def test_the_citation_agrees_with_the_package() -> None:
    fields = dict(re.findall(r"^([\w-]+): (.+)$", CITATION, re.MULTILINE))
    assert fields["version"] == __version__
    assert fields["license"] == PROJECT["license"]
    assert fields["type"] == "software"
    assert fields["title"].strip('"').startswith("dlnotes")
    assert PROJECT["authors"][0]["name"] in CITATION


def test_every_dependency_has_its_sentence() -> None:
    table = CONTRIBUTING[CONTRIBUTING.index("## Dependencies") :]
    explained = {name for cell in re.findall(r"^\| ([\w, -]+) \|", table, re.MULTILINE) for name in cell.split(", ")}
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    names = {re.split(r"[><=\[]", requirement)[0] for requirement in [*PROJECT["dependencies"], *extras]}
    assert names - {PROJECT["name"]} <= explained  # an extra may include another one


def test_changes_have_the_headings_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
