"""The architecture as tests: which module imports which, lazy imports, owners, and help for everything."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


UNSAFE = r"\bpickle\b(?! is)|(?<!safetensors\.)torch\.load|extractall|\beval\((?!\))|allow_pickle=True|yaml\.load"
OWNERS = {  # of each thing, the modules that may do it
    r"\bprint\(|sys\.stdout\.write": {"shell/output.py"},
    r"dlnotes: (note|warning|error):": {"shell/output.py"},
    r"Image\.open\(": {"data/images/decode.py"},
    r"torch\.cuda\.(?!get_rng|set_rng)|torch\.backends": {"device.py"},
    r"torch\.distributed|\bdist\.": {"training/distributed.py"},
    r"sys\.exit|raise SystemExit": {"__main__.py"},
    WRITING: {"shell/files.py"},
    UNSAFE: {"training/foreign_weights.py", "lessons/conv_shape/modules.py"},  # .pth files, with weights_only
    r"torch\.save|safetensors\.torch": {"training/tensor_file.py", "training/foreign_weights.py"},
}


@pytest.mark.parametrize("pattern", OWNERS)
def test_each_thing_has_one_owner(pattern: str) -> None:
    for path in modules():
        lines = [line for line in path.read_text().splitlines() if not line.strip().startswith(("#", '"', ">>>"))]
        if found := re.search(pattern, "\n".join(lines)):
            assert str(path.relative_to(PACKAGE)) in OWNERS[pattern], f"{path}: {found}"


def loaded_by_script(script: str) -> set[str]:
    """Top-level modules that are loaded when a script ends."""
    script = f"import sys\n{script}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}


def loaded_by(*words: str) -> set[str]:
    return loaded_by_script(f"from dlnotes_cli.cli import main; main({[*words]})")


TORCH = {"torch", "torchvision", "matplotlib", "sklearn"}
TRAINING = "train-mlp --epochs 1 --limit 64 --hidden 4 --out OUT"


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        ("--help", TORCH), ("--version", TORCH), ("train-mlp --help", TORCH), ("data list", TORCH),
        ("data info", TORCH), ("train-mlp --lr x", TORCH), ("conv-shape", TORCH), ("filter --list", TORCH),
        ("filter --kernel gradient --out OUT.png", TORCH | {"scipy", "rich", "pydantic"}),
        (TRAINING, {"torchvision", "sklearn", "scipy"}),
    ],
)  # fmt: skip
def test_a_command_loads_only_what_it_needs(words: str, heavy: set[str], tmp_path: Path) -> None:
    assert not heavy & loaded_by(*words.replace("OUT", str(tmp_path / "out")).split())


def test_the_names_for_python_load_no_torch_until_they_are_used() -> None:
    assert not HEAVY & loaded_by_script(
        "from dlnotes_cli import api; api.__all__; from dlnotes_cli.api import TrainMlpConfig"
    )
