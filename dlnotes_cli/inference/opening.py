"""Opening a trained classifier: a model file with torch, an ONNX file without it.

Importing torch takes most of the time of a short command.
"""

from typing import TYPE_CHECKING

from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.onnx_file import is_onnx
from dlnotes_cli.inference.options import ClassifierOptions, check_no_foreign_options
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.inference.text_classifier import TextClassifier


def open_any_classifier(options: ClassifierOptions) -> "Classifier | TextClassifier":
    """The classifier that the options name, in evaluation mode.

    Raises InputError for a file that cannot be used, and for options that do not apply to it.
    """
    if is_onnx(options.model):
        from dlnotes_cli.inference.onnx_classifier import open_onnx_classifier

        return open_onnx_classifier(options)
    check_no_foreign_options(options)
    from dlnotes_cli.inference.course_checkpoint import load_named_classifier
    from dlnotes_cli.training.model_file import TextModel

    model = load_named_classifier(options.model, options.arch)
    if isinstance(model, TextModel):
        from dlnotes_cli.inference.text_classifier import open_text_classifier

        return open_text_classifier(options, model)
    from dlnotes_cli.inference.torch_classifier import open_torch_classifier

    return open_torch_classifier(options, model)


def open_classifier(options: ClassifierOptions) -> Classifier:
    """As `open_any_classifier`, for a command that has no texts. Raises InputError for a classifier of texts too."""
    classifier = open_any_classifier(options)
    if not isinstance(classifier, Classifier):
        what = "holds a classifier of texts, and this command needs one of images or tables"
        raise InputError(classifier.path, what, "use predict or evaluate")
    return classifier
