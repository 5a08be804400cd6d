"""The architecture as tests: which module imports which, lazy imports, owners, and help for everything."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from dlnotes_cli.char_rnn.options import CharRnnRecipe
from dlnotes_cli.classify.recipes import CnnRecipe, MlpRecipe
from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.series.options import SeriesRecipe
from dlnotes_cli.shell.option import flag, options_of
from dlnotes_cli.transfer.options import FineTuneRecipe, FrozenRecipe

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dlnotes_cli"
FLOORS = [  # from the bottom up; modules import from the floors below theirs, and from their own area
    {"shell"},
    {"shapes"},
    {"device", "seeding"},
    {"data", "networks"},
    {"plots"},
    {"training"},
    {"inference"},
    {"capabilities"},  # every other folder, none of which imports another
    {"cli"},
    {"api", "schema"},
    {"__main__"},
]
_FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
HEAVY = {"torch", "torchvision", "numpy", "PIL", "matplotlib", "sklearn", "pandas", "safetensors", "rich"}
RECIPES = (MlpRecipe, CnnRecipe, FineTuneRecipe, FrozenRecipe, CharRnnRecipe, SeriesRecipe)
WRITING = (
    r"os\.(replace|fsync)|(?<!files)\.write_text\(|\.(write_bytes|mkdir|rename|unlink)\("
    r"|open\([^)]*[\"'][wax][bt+]*[\"']"
)
STANDARD_LIBRARY = set(sys.stdlib_module_names)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def area(path: Path) -> str:
    """The name in FLOORS that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    """The floor of an area; a folder that FLOORS does not name is a capability."""
    return _FLOOR.get(name, _FLOOR["capabilities"])


def imported(path: Path, *, only_at_start: bool = False, for_type_checkers: bool = False) -> Iterator[str]:
    """Dotted names that a module imports; `for_type_checkers` includes imports under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    inside = set() if for_type_checkers else {id(child) for node in checked for child in ast.walk(node)}
    for node in tree.body if only_at_start else ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(("dlnotes_cli", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {dotted(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path: Path) -> set[Path]:
    """The modules of the package that a module imports: at start, inside functions, or for type checkers."""
    names = imported(path, for_type_checkers=True)
    parents = {name: name.rpartition(".")[0] for name in names if name.startswith("dlnotes_cli.")}
    return {NAMES[name if name in NAMES else parent] for name, parent in parents.items()} - {PACKAGE / "__init__.py"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path: Path) -> None:
    here = area(path)
    for module in imported_modules(path):
        there = area(module)
        assert there == here or floor(there) < floor(here), f"{path}: {here} imports {module} of {there}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {path: imported_modules(path) for path in modules()}
    while ends := {path for path, targets in left.items() if not targets & left.keys()} | left.keys() - set().union(
        *left.values()
    ):
        left = {path: targets for path, targets in left.items() if path not in ends}
    assert not left, "a circle goes through " + ", ".join(sorted(dotted(path) for path in left))


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("fit", set()),
        ("task", set()),
        ("classifier", {"batch_size"}),  # a note says that it is reduced to the number of samples
        ("checkpoint", set()),
    ],
)
def test_the_core_reads_from_the_options_nothing_that_a_recipe_decides(module: str, allowed: set[str]) -> None:
    decided = {field.name for recipe in RECIPES for field in fields(recipe)} | {"epochs", "batch_size"} - allowed
    reads = re.compile(rf"\boptions\.({'|'.join(decided)})\b")
    assert not (found := reads.search((PACKAGE / "training" / f"{module}.py").read_text())), found


@pytest.mark.parametrize(("floor", "also"), [("shell", {"typer", "rich"}), ("shapes", set())])
def test_the_two_lowest_floors_are_the_standard_library(floor: str, also: set[str]) -> None:
    for path in modules():
        if area(path) == floor:
            outside = {name.split(".")[0] for name in imported(path)} - STANDARD_LIBRARY - {"dlnotes_cli"}
            assert outside <= also, f"{path}: {outside}"


def is_light(path: Path) -> bool:
    """Whether a module is imported when a command starts or prints its help."""
    names = {"options", "commands", "choices", "cnn_architectures", "report"}
    return area(path) in {"shell", "shapes", "device", "seeding", "cli", "schema", "api"} or path.stem in names


def test_options_and_commands_load_nothing_heavy_at_start() -> None:
    for path in modules():
        if is_light(path):
            heavy = {name.split(".")[0] for name in imported(path, only_at_start=True)} & HEAVY
            assert not heavy, f"{path}: {heavy}"


def test_every_test_file_mirrors_a_module_or_folder() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        assert (PACKAGE / folder).is_dir(), f"{path} mirrors no folder of the package"


def test_package_files_import_nothing_heavy() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert {name.split(".")[0] for name in imported(path)} <= {"importlib", "typing"}, path


@pytest.mark.parametrize(
    ("pattern", "owners"),
    [
        (r"\bprint\(|sys\.stdout\.write", {"shell/output.py"}),
        (r"dlnotes: (note|warning|error):", {"shell/output.py"}),
        (r"Image\.open\(", {"data/images/decode.py"}),
        (r"torch\.cuda\.(?!get_rng|set_rng)|torch\.backends", {"device.py"}),
        (r"torch\.distributed|\bdist\.", {"training/distributed.py"}),
        (r"sys\.exit|raise SystemExit", {"__main__.py"}),
        (WRITING, {"shell/files.py"}),
        (
            r"\bpickle\b(?! is)|(?<!safetensors\.)torch\.load|extractall|\beval\((?!\))|allow_pickle=True|yaml\.load",
            {
                "training/foreign_weights.py",
                "lessons/conv_shape/modules.py",
            },  # .pth files of other programs, with weights_only
        ),
        (r"torch\.save|safetensors\.torch", {"training/tensor_file.py", "training/foreign_weights.py"}),
    ],
    ids=[
        "printing",
        "prefixes of notes",
        "opening images",
        "devices",
        "processes",
        "exit",
        "writing",
        "unsafe loading",
        "model files",
    ],
)
def test_each_thing_has_one_owner(pattern: str, owners: set[str]) -> None:
    for path in modules():
        code = "\n".join(
            line for line in path.read_text().splitlines() if not line.strip().startswith(("#", '"', ">>>"))
        )
        if re.search(pattern, code):
            assert str(path.relative_to(PACKAGE)) in owners, f"{path}: {re.search(pattern, code)}"


def loaded_by_script(script: str) -> set[str]:
    """Top-level modules that are loaded when a script ends."""
    script = f"import sys\n{script}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}


def loaded_by(*words: str) -> set[str]:
    return loaded_by_script(f"from dlnotes_cli.cli import main; main({[*words]})")


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "train-mlp --help",
        "data list",
        "data info",
        "train-mlp --lr x",
        "conv-shape",
        "filter --list",
    ],
)
def test_commands_that_only_print_text_load_no_torch(words: str) -> None:
    assert not {"torch", "torchvision", "matplotlib", "sklearn"} & loaded_by(*words.split())


def test_the_names_for_python_load_no_torch_until_they_are_used() -> None:
    assert not HEAVY & loaded_by_script(
        "from dlnotes_cli import api; api.__all__; from dlnotes_cli.api import TrainMlpConfig"
    )


def test_filtering_loads_no_torch(tmp_path: Path) -> None:
    loaded = loaded_by("filter", "--kernel", "gradient", "--out", str(tmp_path / "edges.png"))
    assert not {"torch", "torchvision", "matplotlib", "sklearn", "scipy", "rich", "pydantic"} & loaded


def test_training_loads_no_torchvision_and_no_scikit_learn(tmp_path: Path) -> None:
    loaded = loaded_by("train-mlp", "--epochs", "1", "--limit", "64", "--hidden", "4", "--out", str(tmp_path / "run"))
    assert not {"torchvision", "sklearn", "scipy"} & loaded


OTHER_PANELS = {  # options whose panel differs between commands, and why
    "--dtype": "the type that conv-shape assumes for training, and that of an exported file",
    "--init": "the initialization of a network, and the first line of the perceptron's training",
    "--loss": "what loss calculates, and what trace differentiates",
    "--start": "the initial image of an optimization, and the point on a surface",
    "--time": "the column of times of a series, and whether export measures the speed",
    "--top-k": "classes that evaluate counts, and characters that char-rnn sample draws from",
}


def test_an_option_has_one_panel_in_every_command() -> None:
    panels: dict[str, set[str]] = {}
    for command in COMMANDS:
        for field, described in options_of(load_command(command).config_type).items():
            if not described.is_argument:
                panels.setdefault(flag(field, described), set()).add(described.panel)
    assert {name for name, found in panels.items() if len(found) > 1} == OTHER_PANELS.keys()


def test_installed_dependencies_meet_their_lower_bounds() -> None:
    import tomllib
    from importlib.metadata import version

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in declared:
        name, floor = requirement.split(">=")
        have = [int(part) for part in re.findall(r"\d+", version(name))[:2]]
        assert have >= [int(part) for part in floor.split(".")[:2]], requirement
