"""The snippets of docs/export.md: the one in Python gives the classes of `predict`, the one in JavaScript is valid."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from builders import Command, make_images

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()
PYTHON = next(
    code for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "onnxruntime" in code
)
(JAVASCRIPT,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_the_python_snippet_gives_the_classes_of_predict(
    images_run: Path, dlnotes: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlnotes("export", images_run, "--out", tmp_path / "model.onnx", "-q").code == 0
    images = sorted(make_images(tmp_path / "images", count=3, size=(31, 20), seed=5).rglob("*.png"))
    predicted = json.loads(dlnotes("predict", images_run, *images, "--precision", "fp32", "--json", "-q").out)[
        "predictions"
    ]
    assert {entry["class"] for entry in predicted} == {"blue", "green", "red"}
    for image, entry in zip(images, predicted, strict=True):
        code = PYTHON.replace("runs/digits/model.onnx", str(tmp_path / "model.onnx"))
        exec(code.replace("runs/digits/predictions.png", str(image)), {})  # noqa: S102  # the code of the page
        name, probability = capsys.readouterr().out.split()
        assert name == entry["class"]
        assert float(probability) == pytest.approx(entry["probability"], abs=6e-4)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_javascript_snippet_can_be_parsed(tmp_path: Path) -> None:
    module = tmp_path / "snippet.mjs"
    module.write_text(JAVASCRIPT)
    subprocess.run(["node", "--check", str(module)], check=True, capture_output=True)
