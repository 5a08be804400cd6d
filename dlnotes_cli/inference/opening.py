"""Opening a trained classifier: a model file with torch, an ONNX file without it.

Importing torch takes most of the time of a short command.
"""

from dataclasses import replace

from dlnotes_cli.inference.classifier import AnyClassifier, Classifier
from dlnotes_cli.inference.onnx_file import is_onnx
from dlnotes_cli.inference.options import OpensClassifier, check_no_foreign_options
from dlnotes_cli.shell.errors import InputError


def open_any_classifier(options: OpensClassifier, *, as_trained: bool = False) -> AnyClassifier:
    """The classifier that the options name, in evaluation mode.

    `--precision auto` is fp32, so that a sample has the same answer in every batch; if `as_trained`, it is that of the
    training, whose metrics come out again. Raises InputError for a file that cannot be used, and for options that do
    not apply to it.
    """
    if is_onnx(options.model):
        from dlnotes_cli.inference.onnx_classifier import open_onnx_classifier

        return open_onnx_classifier(options)
    check_no_foreign_options(options)
    if options.precision == "auto" and not as_trained:
        options = replace(options, precision="fp32")
    from dlnotes_cli.inference.course_checkpoint import load_named_model
    from dlnotes_cli.training.model_file import TextModel, load_any_classifier

    model = load_named_model(options.model, options.arch, load_any_classifier)
    if isinstance(model, TextModel):
        from dlnotes_cli.inference.text_classifier import open_text_classifier

        return open_text_classifier(options, model)
    from dlnotes_cli.inference.torch_classifier import open_torch_classifier

    return open_torch_classifier(options, model)


def open_classifier(options: OpensClassifier, *, as_trained: bool = False) -> Classifier:
    """As `open_any_classifier`, for a command that has no texts. Raises InputError for a classifier of texts too."""
    classifier = open_any_classifier(options, as_trained=as_trained)
    if not isinstance(classifier, Classifier):
        what = "holds a classifier of texts, and this command needs one of images or tables"
        raise InputError(classifier.path, what, "use predict or evaluate")
    return classifier
