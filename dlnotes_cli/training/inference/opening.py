"""Opening a trained classifier: a model file with torch, an ONNX file without it.

Importing torch takes most of the time of a short command.
"""

from dlnotes_cli.training.inference.classifier import Classifier
from dlnotes_cli.training.inference.options import ClassifierOptions
from dlnotes_cli.training.onnx_file import is_onnx


def open_classifier(options: ClassifierOptions) -> Classifier:
    """The classifier that the options name, in evaluation mode.

    Raises InputError for a file that cannot be used, and for options that do not apply to it.
    """
    if is_onnx(options.model):
        from dlnotes_cli.training.inference.onnx_classifier import open_onnx_classifier

        return open_onnx_classifier(options)
    options.check_for_model_file()
    from dlnotes_cli.training.inference.torch_classifier import open_torch_classifier

    return open_torch_classifier(options)
