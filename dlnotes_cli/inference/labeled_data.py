"""The labeled data that trained classifiers are evaluated on."""

from dataclasses import replace
from typing import Any

from dlnotes_cli.data.load import load_for_model
from dlnotes_cli.data.options import LabelColumns
from dlnotes_cli.data.paths import kind_of
from dlnotes_cli.data.texts.labeled import TextColumns, load_texts_for_model, texts_kind
from dlnotes_cli.inference.classifier import AnyClassifier, Classifier
from dlnotes_cli.inference.options import LabeledDataOptions
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_metadata import (
    ChosenSplit,
    choose_split,
    class_folders,
    label_columns,
    split_as_in_training,
    training_data,
)


def labeled_data_of(options: LabeledDataOptions, classifier: AnyClassifier) -> tuple[str, str]:
    """What `--data` names, or the training data, and its kind, such as "folder". Raises InputError without any."""
    kind_of_data = kind_of if isinstance(classifier, Classifier) else texts_kind
    data = options.data or training_data(classifier.metadata, kind_of_data)
    return data, kind_of_data(data)


def load_split(options: LabeledDataOptions, classifier: AnyClassifier, data: str) -> tuple[Any, ChosenSplit]:
    """The data, preprocessed for a classifier, a DataSet or for texts a TextDataSet; and its split that is evaluated.

    Raises InputError for options that have no effect.
    """
    dataset: Any
    if isinstance(classifier, Classifier):
        labels = label_columns_of(options, classifier, data)
        given = {"--text-column": options.text_column, "--target": None if labels else options.target}
        for name, value in given.items():
            if value is not None:
                raise InputError(name, f"{classifier.path} reads no texts", f"drop {name}")
        dataset = load_for_model(
            data, options, classifier.preprocessing, classifier.classes, threads=options.threads or default_threads(),
            raw=classifier.reads_raw_rows, folders=class_folders(classifier.metadata), labels=labels,
        )  # fmt: skip
    elif options.image_column is not None:
        raise InputError("--image-column", f"{classifier.path} reads no images", "drop --image-column")
    else:
        columns = TextColumns(options.text_column, options.target)
        dataset = load_texts_for_model(data, columns, classifier.preprocessing, classifier.classes)
    dataset = split_as_in_training(data, dataset, classifier.metadata)
    return dataset, choose_split(dataset, options.split)


def label_columns_of(options: LabeledDataOptions, classifier: AnyClassifier, data: str) -> LabelColumns | None:
    """The columns of data that lists images: those that the options name, or those of the training data."""
    trained = label_columns(classifier.metadata)
    if options.image_column is not None:
        if kind_of(data) != "table":
            raise InputError("--image-column", f"has no effect on {data}", "drop it, or give a CSV file")
        target = options.target or (trained.target if trained else None)
        return LabelColumns(options.image_column, target, options.split_column, options.image_root)
    if trained is None or kind_of(data) != "table":
        return None
    return replace(trained, target=options.target or trained.target)
