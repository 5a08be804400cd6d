"""`style-transfer` at small sizes: images, options, interrupted runs and errors."""

import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image, ImageCms

from dlnotes_cli.cli import main
from dlnotes_cli.shell.errors import DiskFullError
from dlnotes_cli.style import memory, stylizer
from dlnotes_cli.style import style_transfer as task
from dlnotes_cli.style.network import DEFAULT_LAYERS, load_feature_network
from dlnotes_cli.style.options import BEST_SMALL
from dlnotes_cli.style.stylizer import Stylizer
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

QUICK = ("--size", "48", "--steps", "6", "--scales", "2", "--threads", "1", "-q")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A content image, two style images, and images that are refused."""
    home = tmp_path_factory.mktemp("style")
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:60, :90]
    content = np.stack([x * 2, y * 4, 255 - x * 2], -1).astype(np.uint8)
    content[20:40, 30:60] = (250, 240, 10)
    Image.fromarray(content).save(home / "content.png")
    stripes = np.where((x + y)[..., None] // 6 % 2, (200, 30, 40), (20, 60, 200)).astype(np.uint8)
    Image.fromarray(stripes).save(home / "stripes.png")
    Image.fromarray(generator.integers(0, 255, (40, 40, 3), np.uint8)).save(home / "noise.jpg")
    layers = np.dstack([content, np.where(x < 45, 255, 60)]).astype(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(layers).save(home / "layers.png", icc_profile=profile)
    Image.new("RGBA", (40, 40), (1, 2, 3, 0)).save(home / "clear.png")
    Image.new("RGB", (1, 1)).save(home / "dot.png")
    Image.new("RGB", (320, 32), (200, 100, 50)).save(home / "wide.png")
    Image.new("RGB", (4000, 5)).save(home / "long.png")
    Image.new("RGB", (1600, 20)).save(home / "thin.png")
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    frames[0].save(home / "moving.gif", save_all=True, append_images=frames[1:])
    (home / "text.jpg").write_text("not an image")
    (home / "many").mkdir()
    for i in range(2):
        Image.fromarray(np.roll(content, 20 * i, 1)).save(home / "many" / f"{i}.jpg")
    (home / "empty").mkdir()
    (home / "there.png").write_bytes(b"")
    Image.new("L", (90, 60)).save(home / "black.png")
    Image.fromarray(np.where(x < 45, 255, 0).astype(np.uint8)).save(home / "left.png")
    Image.fromarray(np.array([255, 0], np.uint8).repeat(32)[:, None].repeat(64, 1)).save(home / "top.png")
    colors = np.where(np.arange(64)[:, None, None] < 32, (220, 40, 40), (40, 40, 220)).repeat(64, axis=1)
    Image.fromarray((colors + generator.integers(-30, 30, colors.shape)).astype(np.uint8)).save(home / "colors.png")
    return home


def arguments(home: Path, out: Path, *more: object, style: str = "stripes.png") -> list[str]:
    """A quick call; options of `more` replace earlier ones."""
    images = ["--content", home / "content.png", "--style", home / style, "--out", out]
    return [str(argument) for argument in ("style-transfer", *images, *QUICK, *more)]


def without_quiet(call: list[str]) -> list[str]:
    return [argument for argument in call if argument != "-q"]


@pytest.fixture
def stylize(home: Path, dlnotes: Command) -> Callable[..., dict[str, Any]]:
    """Make a quick call, which must succeed: its document."""

    def run(out: Path, *more: object) -> dict[str, Any]:
        outcome = dlnotes(*arguments(home, out, "--json", *more))
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)  # type: ignore[no-any-return]

    return run


def read_pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def small_content(home: Path) -> np.ndarray[Any, Any]:
    """The content image as quick calls see it."""
    with Image.open(home / "content.png") as image:
        return np.asarray(image.resize((48, 32), Image.Resampling.LANCZOS)).astype(int)


def test_an_image_is_stylized_and_its_losses_fall(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    call = arguments(home, tmp_path / "a.png", "--steps", 25)
    run = dlnotes(*call, "--json", "--sheet", tmp_path / "sheet.png")
    assert run.code == 0, run.err
    document = json.loads(run.out)
    assert (document["backbone"], document["weights"]) == ("small", "small")
    stylized = read_pixels(tmp_path / "a.png")
    assert stylized.shape == (32, 48, 3)
    assert stylized.std() > 10
    (result,) = document["results"]
    (scale,) = result["scales"]  # 24 pixels would be too small
    losses = scale["losses"]
    assert (scale["size"], scale["steps"] <= 25) == ([32, 48], True)
    assert losses["best"]["style"] < losses["first"]["style"] / 2
    assert read_pixels(tmp_path / "sheet.png").shape[1] > 800
    lines = dlnotes(*call, "--overwrite").out.splitlines()
    assert lines[0].split()[:5] == ["content", "ratio", "size", "steps", "seconds"]
    content, ratio, size, steps, _, *shown = lines[2].split()
    assert (content, ratio, size, steps) == (result["content"], f"{BEST_SMALL.ratio:g}", "48x32", str(scale["steps"]))
    assert shown == [f"{losses['best'][term]:.4g}" for term in ("total", "content", "style")]
    assert lines[-1] == str(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png"), stylized)  # the same command, the same image


@pytest.mark.parametrize(
    ("content", "scales", "sizes"),
    [("content.png", 3, [[43, 64], [85, 128], [171, 256]]), ("wide.png", 2, [[26, 256]])],
)
def test_scales_go_from_coarse_to_fine_and_are_not_too_thin(
    content: str, scales: int, sizes: list[list[int]], home: Path, tmp_path: Path, stylize: Callable[..., Any]
) -> None:
    more = ("--content", home / content, "--size", 256, "--scales", scales, "--steps", 2)
    assert [scale["size"] for scale in stylize(tmp_path / "a.png", *more)["results"][0]["scales"]] == sizes


def test_the_margin_is_cropped_and_padding_does_not_move_the_image(
    home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    call = arguments(home, tmp_path / "a.png", "--steps", 1, "--optimizer", "adam", "--lr", 1e-6)
    assert dlnotes(*call).code == 0
    assert np.abs(read_pixels(tmp_path / "a.png").astype(int) - small_content(home)).max() <= 1


def test_transparency_and_profile_are_kept(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    for name in ("a.png", "a.webp", "a.jpg"):
        run = dlnotes(*arguments(home, tmp_path / name, "--content", home / "layers.png"))
        assert run.code == 0, run.err
        with Image.open(tmp_path / name) as image:
            assert image.info.get("icc_profile")
            assert image.mode == ("RGB" if name.endswith("jpg") else "RGBA")
            if image.mode == "RGBA":
                alpha = np.asarray(image)[..., 3]
                assert alpha[:, :20].min() == 255
                assert alpha[:, -20:].max() == 60


def test_preserve_color_keeps_the_colors_of_the_content(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    for name, more in (("plain", ()), ("kept", ("--preserve-color",))):
        assert dlnotes(*arguments(home, tmp_path / f"{name}.png", "--steps", 20, *more)).code == 0
    content = small_content(home)

    def chroma(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return values[..., :1] - values[..., 1:]  # type: ignore[no-any-return]

    plain, kept = (read_pixels(tmp_path / f"{name}.png").astype(float) for name in ("plain", "kept"))
    inside = ((kept > 0) & (kept < 255)).all(-1)  # without clipped pixels
    assert np.abs(chroma(kept) - chroma(content))[inside].max() <= 2
    assert np.abs(chroma(plain) - chroma(content)).mean() > 20
    assert np.abs(kept.mean(-1) - content.mean(-1)).mean() > 3


def test_several_style_images_are_blended(home: Path, tmp_path: Path, stylize: Callable[..., Any]) -> None:
    both = f"{home / 'stripes.png'}:2,{home / 'noise.jpg'}:1"
    document = stylize(tmp_path / "a.png", "--style", both)
    assert [entry["weight"] for entry in document["styles"]] == [1.0, 2.0, 1.0]
    stylize(tmp_path / "b.png", "--style", f"{home / 'noise.jpg'}:1e-9")
    stylize(tmp_path / "c.png")
    blended, nearly_one, one = (read_pixels(tmp_path / f"{name}.png").astype(int) for name in "abc")
    assert np.abs(one - nearly_one).mean() < np.abs(one - blended).mean()


def test_without_images_a_sample_image_gets_a_generated_style(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = dlnotes("style-transfer", "--size", "48", "--steps", "2", "--threads", "1", "--out", "a.png")
    assert run.code == 0, run.err
    assert read_pixels(tmp_path / "a.png").shape == (32, 48, 3)
    assert "china.jpg, a sample image of scikit-learn" in run.err
    assert "style: a generated image\n" in run.err
    run = dlnotes("style-transfer", home / "content.png", *QUICK[:-1], "--out", "b.png")
    assert run.err.startswith("style: a generated image; --style FILE sets another")


def test_the_recipe_of_the_course_starts_from_the_content(tmp_path: Path, stylize: Callable[..., Any]) -> None:
    (result,) = stylize(tmp_path / "a.png", "--recipe", "notes", "--scales", 1, "--steps", 4)["results"]
    assert result["ratio"] == 1e-6
    losses = result["scales"][0]["losses"]
    assert losses["first"]["content"] == 0  # the first image is the content
    assert losses["first"]["total"] == pytest.approx(1e6 * losses["first"]["style"])


def masked(home: Path, out: Path, *more: object) -> list[str]:
    """The left half of the content with the red half of a red and blue style."""
    return arguments(home, out, "--mask", f"{home / 'left.png'}:{home / 'top.png'}", *more, style="colors.png")


def test_each_region_gets_the_style_of_its_mask(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    call = masked(home, tmp_path / "a.png", "--steps", 20, "--ratio", 1e-4)
    whole = arguments(home, tmp_path / "b.png", "--steps", 20, "--ratio", 1e-4, style="colors.png")
    assert dlnotes(*call, "--gram", tmp_path / "gram.png").code == dlnotes(*whole).code == 0
    pixels, others = (read_pixels(tmp_path / name).astype(float) for name in ("a.png", "b.png"))
    red, other = pixels[..., 0] - pixels[..., 2], others[..., 0] - others[..., 2]
    assert red[:, :16].mean() > 20  # the masked half of the style
    assert red[:, 32:].mean() < -20  # the rest
    assert other[:, :20].mean() < other[:, 28:].mean()  # as in the content


@pytest.mark.parametrize(("has_masks", "precision", "rel"), [(True, "fp32", 1e-5), (False, "bf16", 2e-2)])
def test_tiles_give_the_losses_of_the_whole_image(
    has_masks: bool, precision: str, rel: float, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    sizes = ("--size", 160, "--scales", 1, "--steps", 5)
    options = (*sizes, "--precision", precision, "--json", "--match-color", "linear")
    losses = []
    for name, tile in (("whole.png", ()), ("tiles.png", ("--tile", 64))):
        run = dlnotes(*(masked if has_masks else arguments)(home, tmp_path / name, *options, *tile))
        assert run.code == 0, run.err
        losses.append(json.loads(run.out)["results"][0]["scales"][0]["losses"])
    assert losses[1]["first"] == pytest.approx(losses[0]["first"], rel=rel)
    assert losses[1]["best"]["total"] == pytest.approx(losses[0]["best"]["total"], rel=0.1)


def test_color_matching_gives_the_result_the_colors_of_the_content(
    home: Path, tmp_path: Path, stylize: Callable[..., Any]
) -> None:
    content = read_pixels(home / "content.png").mean((0, 1))
    distance = {}
    for name in ("none", "linear", "histogram"):
        out = tmp_path / f"{name}.png"
        stylize(out, "--steps", 30, "--ratio", 1e-4, *(() if name == "none" else ("--match-color", name)))
        distance[name] = np.abs(read_pixels(out).mean((0, 1)) - content).mean()
    assert max(distance["linear"], distance["histogram"]) < distance["none"] / 2


def test_half_of_the_sum_is_a_multiple_of_the_mean(tmp_path: Path, stylize: Callable[..., Any]) -> None:
    more = ("--recipe", "notes", "--steps", 1, "--scales", 1, "--start", "noise", "--content-loss")
    mean, half_sum = (
        stylize(tmp_path / f"{name}.png", *more, name)["results"][0]["scales"][0]["losses"]["first"]["content"]
        for name in ("mean", "half-sum")
    )
    assert half_sum == pytest.approx(mean * 64 * 16 * 24 / 2, rel=1e-5)  # relu2_2 of a 32x48 image


def test_swept_ratios_approach_the_gram_matrices_of_the_style(
    tmp_path: Path, stylize: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def draw(*values: Any) -> bytes:
        drawn.append(values)
        return b"png"

    monkeypatch.setattr(task, "draw_grams", draw)
    more = ("--sweep-ratio", "1e-4,100", "--sheet", tmp_path / "s.png", "--gram", tmp_path / "g.png", "--steps", 20)
    document = stylize(tmp_path / "a.png", *more)
    assert [Path(result["out"]).name for result in document["results"]] == ["a-ratio-0.0001.png", "a-ratio-100.png"]
    first, last = (result["scales"][-1]["losses"]["best"] for result in document["results"])
    assert first["content"] > last["content"]
    assert first["style"] < last["style"]
    assert ((tmp_path / "s.png").is_file(), document["gram"]) == (True, str(tmp_path / "g.png"))
    ((columns, regions),) = drawn
    assert ([title for title, _ in columns], regions) == (["style", "content", "ratio 0.0001", "ratio 100"], [])
    style, content, near, far = (grams["conv1_1"] for _, grams in columns)
    distances = [float((matrix - style).norm()) for matrix in (near, far, content)]
    assert distances == sorted(distances)


# --- interrupted runs --------------------------------------------------------------------------------------------


def interrupted(dlnotes: Command, call: list[str], at: int = 2) -> str:
    """Send Ctrl-C after step `at` of the second scale: the error of the call."""
    fraction = Stylizer._fraction

    def stop(stylizer: Stylizer) -> float:
        optimization = stylizer._optimization
        if len(stylizer.finished) == 1 and optimization and optimization.steps == at:
            os.kill(os.getpid(), signal.SIGINT)
        return fraction(stylizer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylizer, "_fraction", stop)
        outcome = dlnotes(*call)
    assert (outcome.code, outcome.out) == (130, "")
    return outcome.err


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_ctrl_c_saves_the_current_image_and_a_resumed_run_equals_an_uninterrupted_one(
    home: Path, tmp_path: Path, dlnotes: Command, optimizer: str
) -> None:
    more = ("--size", 128, "--steps", 10, "--optimizer", optimizer, "--start", "noise", "--json", "--verbose")
    call = arguments(home, tmp_path / "a.png", *more)
    whole = json.loads(dlnotes(*arguments(home, tmp_path / "whole.png", *more)).out)
    message = r"dlnotes: error: interrupted: the current image is saved as .*a\.png; continue with .*--continue\n"
    assert re.fullmatch(message, interrupted(dlnotes, call, 4))
    assert read_pixels(tmp_path / "a.png").shape == (85, 128, 3)
    resumed = dlnotes(*call, "--continue")
    assert resumed.code == 0, resumed.err
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    for result, expected in zip(json.loads(resumed.out)["results"], whole["results"], strict=True):
        for scale, other in zip(result["scales"], expected["scales"], strict=True):
            assert all(scale[name] == other[name] for name in ("size", "steps", "losses", "curves"))
    assert not (tmp_path / "a.png.state.safetensors").exists()


def test_a_run_with_every_option_is_resumed_to_the_same_image_and_animation(
    home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    def call(name: str) -> list[str]:
        more = ("--match-color", "histogram", "--tile", 64, "--animate", tmp_path / f"{name}.gif")
        explicit = ("--tv", 0.7, "--style-layers", "relu1_1:0.5,conv2_1", "--content-layer", "relu2_2")
        return masked(home, tmp_path / f"{name}.png", "--size", 128, "--steps", 5, *more, *explicit)

    assert dlnotes(*call("whole")).code == 0
    interrupted(dlnotes, call("a"), 3)
    assert not (tmp_path / "a.gif").exists()
    other = [word for word in call("a") if word not in {"--match-color", "histogram"}]
    assert "was made from other images or options" in dlnotes(*other, "--continue").err
    unmasked = [word for word in call("a") if word != "--mask" and "top.png" not in word]
    assert "was made from other images or options" in dlnotes(*unmasked, "--continue").err
    resumed = dlnotes(*call("a"), "--continue")
    assert resumed.code == 0, resumed.err
    for suffix in ("png", "gif"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    with Image.open(tmp_path / "a.gif") as animation:
        frames = getattr(animation, "n_frames", 1)  # equal ones are one
        assert (animation.size, 6 <= frames <= 12) == ((128, 85), True)  # start, 2 x 5 steps, result


def test_an_interrupted_folder_is_resumed(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    more = ("--content", home / "many", "--size", 128, "--steps", 5)
    call = arguments(home, tmp_path / "out", *more)
    whole = dlnotes(*without_quiet(arguments(home, tmp_path / "whole", *more)), "--scales", 5)
    assert whole.err.count("note: --scales 5: this size allows 2; smaller sizes are left out") == 1
    interrupted(dlnotes, call)
    assert not (tmp_path / "out" / "1.png").exists()
    assert dlnotes(*call, "--continue").code == 0
    before = [(tmp_path / "out" / name).stat().st_mtime_ns for name in ("0.png", "1.png")]
    again = dlnotes(*without_quiet(call), "--continue", "--sheet", tmp_path / "sheet.png", "--json")
    assert (again.code, again.err.count("is already finished")) == (0, 2)
    assert [sorted(result) for result in json.loads(again.out)["results"]] == [
        ["content", "out", "ratio", "scales"]
    ] * 2
    assert (tmp_path / "sheet.png").is_file()
    assert [(tmp_path / "out" / name).stat().st_mtime_ns for name in ("0.png", "1.png")] == before
    for name in ("0.png", "1.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_run_is_resumed_only_from_its_own_checkpoint(
    optimizer: str, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    call = arguments(home, tmp_path / "a.png", "--size", 128, "--steps", 4, "--optimizer", optimizer)

    def refused(message: str, *more: object) -> None:
        outcome = dlnotes(*call, "--continue", *more)
        assert (outcome.code, outcome.err.count("\n"), message in outcome.err) == (2, 1, True), outcome

    refused("--continue: nothing to resume: no ")
    interrupted(dlnotes, call, 3)
    noise = home / "noise.jpg"
    for more in (["--ratio", 0.5], ["--lr", 0.7], ["--start", "noise"], ["--style", noise], ["--preserve-color"]):
        refused("was made from other images or options", *more)
    path = tmp_path / "a.png.state.safetensors"
    tensors, metadata = read_tensors(path)
    state = min(name for name, tensor in tensors.items() if tensor.numel() > 1 and name not in {"image", "best"})
    for name in {state, "previous_scale"}:
        for wrong in (torch.zeros(0), torch.zeros(7), tensors[name].long()):
            write_tensors(path, tensors | {name: wrong}, metadata)
            refused("is not a checkpoint of this image")
    write_tensors(path, tensors, metadata | {"checkpoint_version": 1})
    refused(f"{path}: is a checkpoint of format version 1; this dlnotes reads version 2; drop --continue")
    path.write_bytes(path.read_bytes()[:-1])
    refused("drop --continue, and start over")


class KilledError(BaseException):
    """Ends the program in place of a kill."""


def kill(at: int, folder: Path, copy: Path, call: list[str]) -> None:
    """Leave in `folder` the files that a process leaves that is killed at a rename."""
    writes, rename = 0, Path.replace

    def end() -> None:
        if not copy.exists():  # what the end of the program deletes, a killed process leaves
            shutil.copytree(folder, copy)
        raise KilledError

    def replace(source: Path, target: Path) -> None:
        nonlocal writes
        writes += 1
        if writes == at:
            end()
        rename(source, target)
        if writes == -at:
            end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KilledError):
            main(call)
    shutil.rmtree(folder)
    copy.rename(folder)


@pytest.mark.parametrize(
    ("at", "overwrites"), [(1, False), (-1, False), (2, False), (-2, False), (5, False), (-1, True), (2, True)]
)  # negative: after this rename
def test_a_killed_run_is_continued_to_the_same_image(
    home: Path, tmp_path: Path, dlnotes: Command, at: int, overwrites: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    more = ("--save-every", 2, "--steps", 5, "--scales", 1)
    assert dlnotes(*arguments(home, folder / "whole.png", *more)).code == 0
    if overwrites:
        Image.new("RGB", (48, 32)).save(folder / "a.png")
    call = arguments(home, folder / "a.png", *more)
    kill(at, folder, tmp_path / "copy", [*call, "--overwrite"])
    resumed = dlnotes(*call, "--overwrite" if at == 1 else "--continue")  # 1: nothing was written
    assert resumed.code == 0, resumed.err
    assert (folder / "a.png").read_bytes() == (folder / "whole.png").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "whole.png"]


def test_a_full_disk_leaves_no_image_without_a_checkpoint(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any) -> None:
        raise DiskFullError(path, "disk full", "free space")

    call = arguments(home, tmp_path / "a.png", "--size", 128, "--steps", 4, "--save-every", 2)
    with monkeypatch.context() as patch:
        patch.setattr(stylizer, "write_tensors", full)
        outcome = dlnotes(*call)
    assert (outcome.code, list(tmp_path.iterdir())) == (3, [])
    assert "free space, then run again" in outcome.err
    interrupted(dlnotes, call)
    monkeypatch.setattr(stylizer, "write_tensors", full)
    outcome = dlnotes(*call, "--continue")
    assert outcome.code == 3
    assert "free space, then continue with the same command and --continue" in outcome.err


def test_images_are_arguments_too(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    content, style = str(home / "content.png"), str(home / "stripes.png")
    assert dlnotes(*arguments(home, tmp_path / "a.png")).code == 0
    for images in ([content, style], [content, "--style", style]):
        assert dlnotes("style-transfer", *images, *QUICK, "--out", tmp_path / "b.png", "--overwrite").code == 0
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_images_share_the_network_and_the_time_budget(
    home: Path, tmp_path: Path, stylize: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Mock(wraps=load_feature_network)
    monkeypatch.setattr(task, "load_feature_network", load)
    more = ("--style", home / "noise.jpg", "--content", home / "many", "--time-budget", "1s", "--steps", 100_000)
    document = stylize(tmp_path / "out", *more, "--size", 100)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]
    assert [Path(entry["file"]).name for entry in document["styles"]] == ["stripes.png", "noise.jpg"]
    assert all(scale["steps"] < 100_000 for result in document["results"] for scale in result["scales"])
    load.assert_called_once()


def test_a_size_that_does_not_fit_in_memory_is_refused_or_reduced(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda _: 80_000_000)
    large = arguments(home, tmp_path / "a.png", "--size", 512, "--steps", 1, "--scales", 1)
    refused = dlnotes(*large)
    assert refused.code == 2
    match = re.search(
        r"--size: 512 pixels need about [\d.]+ GB, 0.1 GB are free; use --size (\d+), --tile 256, or --fit", refused.err
    )
    assert match, refused.err
    assert not (tmp_path / "a.png").exists()
    assert dlnotes(*large, "--fit").code == 0
    assert max(read_pixels(tmp_path / "a.png").shape) == int(match[1]) < 512
    monkeypatch.setattr(memory, "available_memory", lambda _: 120_000_000)
    assert dlnotes(*large, "--overwrite").code == 2
    assert dlnotes(*large, "--overwrite", "--tile", 64).code == 0


# --- errors ------------------------------------------------------------------------------------------------------

FAULTS = {
    "a.png b.png c.png": r"CONTENT STYLE: 3 images, and at most two can be arguments",
    "content.png": r"--content: cannot be combined with the argument content.png; drop one",
    "--content gone.png": r"gone.png: no such file; check the path",
    "--content text.jpg": r"text.jpg: not an image; use another image",
    "--content clear.png": r"clear.png: is fully transparent; use an image with visible pixels",
    "--content long.png": r"long.png: has 4000x5 pixels; use an image of at least 16 on each side",
    "--content thin.png": r"thin.png: 1600x20 would be 48x1, too thin for the feature network; crop it",
    "--start dot.png": r"dot.png: has 1x1 pixels",
    "--content moving.gif": r"moving.gif: is animated \(2 frames\); save one frame",
    "--style :2": r"--style: ':2' is not FILE:WEIGHT",
    "--style-layers relu1_1:1,relu1_1:2": r"--style-layers: contains a layer twice; list each once",
    "--ratio 1 --sweep-ratio 1,2 --sheet s.png": r"--ratio: cannot be combined with --sweep-ratio; drop one",
    "--sweep-ratio 1,1 --sheet s.png": r"--sweep-ratio: contains a ratio twice; list each once",
    "--out new.png --sheet new.png": r"--sheet: new.png is also an input or a result",
    "--out content.png --overwrite": r"--out: content.png would overwrite an input",
    "--style stripes.png:1,noise.jpg:2 --out noise.jpg --overwrite": r"--out: noise.jpg would overwrite an input",
    "--content many --out many": r"--out: many/0.png would overwrite an input, or is in an input folder",
    "--content empty": r"--content: empty contains no images; use another folder",
    "--style stripes.png:-1": r"--style: -1 is not a valid weight of stripes.png; use a number above 0",
    "--style stripes.png:x": r"stripes.png:x: no such file",
    "--out a.xyz": r"--out: '.xyz' is not a supported format; use .png, .jpg, .jpeg, .webp, or a folder",
    "--out there.png": r"--out: there.png exists; pass --overwrite",
    "--out no/such/a.png": r"--out: .*no/such",
    "--content many --out a.png": r"--out: a.png is one file for 2 images; use a folder",
    "--style-layers relu1_1:1,conv7_1:1": r"--style-layers: unknown layer 'conv7_1'",
    "--style-layers relu1_1:x": r"--style-layers: 'x' is not a valid weight of relu1_1; write for example conv1_1:1.0",
    "--style-layers relu1_1:0": r"--style-layers: every weight is 0; set one above 0",
    "--sweep-ratio 1,2": r"--sweep-ratio: has no effect without --sheet; add it, or drop",
    "--weights vgg.pth": r"--weights: small has its own weights; drop it, or choose another --backbone",
    "--backbone squeezenet1_1 --weights other.pth": r"other.pth: tensor .* is missing",
    "--sheet s.jpg": r"--sheet: .*s.jpg",
    "--gram there.png": r"--gram: there.png exists; pass --overwrite or another name",
    "--gram g.png --content many --out many2": r"--gram: shows one content image, and there are 2; name one",
    "--animate moving.gif": r"--animate: moving.gif exists; pass --overwrite",
    "--animate a.gif --sweep-ratio 1,2 --sheet s.png": r"--animate: shows one result, and 2 are made; drop it",
    "--mask content.png": r"--mask: 'content.png' is not CONTENT.png:STYLE.png; write two files",
    "--mask noise.jpg:stripes.png": r"noise.jpg: is a mask of 40x40 pixels, and the content image has 90x60; draw",
    "--mask content.png:noise.jpg": r"noise.jpg: is a mask of 40x40 pixels, and the style image has 90x60; draw",
    "--mask black.png:stripes.png": r"black.png: is a mask that is black everywhere; draw the region in white",
    "--mask content.png:stripes.png --style noise.jpg": r"--mask: fits one content and one style image, .* 1 and 2",
}


@pytest.mark.parametrize("line", FAULTS)
def test_bad_input_is_one_line_and_nothing_is_written(
    line: str, home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    torch.save({"a": torch.zeros(1)}, home / "other.pth")
    before = sorted(home.rglob("*"))
    valid = ["--content", "content.png", "--style", "stripes.png", "--out", "new.png", *QUICK]
    outcome = dlnotes("style-transfer", *valid, *shlex.split(line))
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert re.fullmatch(rf"dlnotes: error: .*{FAULTS[line]}.*\n", outcome.err), outcome.err
    assert sorted(home.rglob("*")) == before


def test_skip_bad_skips_damaged_images_of_a_folder(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 30), "red").save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_text("not an image")
    call = without_quiet(arguments(home, tmp_path / "out", "--content", tmp_path / "in", "--steps", 1))
    assert dlnotes(*call).code == 2
    run = dlnotes(*call, "--skip-bad")
    assert (run.code, "skipped" in run.err) == (0, True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize("backbone", ["small", "vgg16", "squeezenet1_0", "squeezenet1_1"])
def test_the_smallest_size_is_stylized(backbone: str, home: Path, tmp_path: Path, dlnotes: Command) -> None:
    Image.new("RGB", (64, DEFAULT_LAYERS[backbone].min_side), (9, 200, 100)).save(tmp_path / "in.png")
    weights = [] if backbone == "small" else ["--weights", "none"]
    more = ("--content", tmp_path / "in.png", "--size", 64, "--steps", 2, "--scales", 3, "--backbone", backbone)
    run = dlnotes(*without_quiet(arguments(home, tmp_path / "a.png", *more, *weights)))
    assert run.code == 0, run.err
    assert (f"warning: --weights none: {backbone} has random weights" in run.err) == (backbone != "small")


@pytest.mark.parametrize(
    "more",
    [
        "--optimizer adam", "--recipe notes --optimizer lbfgs", "--pooling max --tv 0.5", "--start noise",
        "--weights none",
    ],
)  # fmt: skip
def test_every_recipe_and_optimizer_lowers_the_loss(more: str, tmp_path: Path, stylize: Callable[..., Any]) -> None:
    document = stylize(tmp_path / "a.png", "--scales", 1, *more.split())
    losses = document["results"][0]["scales"][0]["losses"]
    assert losses["best"]["total"] < losses["first"]["total"]
    assert document["options"]["lr"] == (0.02 if "adam" in more else 1.0)
