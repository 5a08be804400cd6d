"""dlnotes from Python: each command as a function of its Config, whose fields have the shell's names and defaults.

Train, evaluate and predict:

>>> import tempfile
>>> import numpy as np
>>> from dlnotes_cli.api import EvaluateConfig, PredictConfig, Predictor, TrainMlpConfig
>>> from dlnotes_cli.api import evaluate_model, output, train_mlp
>>> output.configure(quiet=True)
>>> folder = tempfile.TemporaryDirectory()
>>> out = f"{folder.name}/run"
>>> trained = train_mlp(TrainMlpConfig(data="digits", epochs=2, hidden="32", out=out))
>>> evaluate_model(EvaluateConfig(model=out)).evaluation.samples
359
>>> predictor = Predictor(PredictConfig(model=out, top=1))
>>> [prediction.item for prediction in predictor.predict([np.zeros((8, 8), np.uint8)])]
['0']
>>> output.configure(quiet=False)
>>> folder.cleanup()

Each command works in this way; shapes, for example, need no data:

>>> from dlnotes_cli.api import ConvShapeConfig, conv_shape, to_json
>>> to_json(conv_shape(ConvShapeConfig(layers=("Conv2d(3, 10, 3)",), input=(3, 130, 130))))["parameters"]
280

A Config converts and validates its values when it is created; text works as in the shell (`epochs="5"`,
`out="runs/digits"`). Errors that the user can fix are raised as `DlnotesError`: its text is the line that the command
prints, its `exit_code` the code that the command ends with. Notes and progress go to stderr;
`output.configure(quiet=True)` silences them. `resumed_config(TrainMlpConfig, {"resume": "runs/digits", "epochs": 80})`
returns the options with which an interrupted run resumes.
"""

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import CharRnnSampler, Sample, SampleResult
from dlnotes_cli.char_rnn.score import Score, ScoreResult, score_texts
from dlnotes_cli.char_rnn.train import CharRnnResult, train_char_rnn
from dlnotes_cli.classify.evaluate import EvaluateResult, evaluate_model
from dlnotes_cli.classify.evaluation_options import EvaluateConfig, PredictConfig
from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.predict import Predictor, predictions_csv
from dlnotes_cli.classify.shift_test import ShiftTestResult, shift_test
from dlnotes_cli.classify.train_cnn import report_network, train_cnn
from dlnotes_cli.classify.train_mlp import train_mlp
from dlnotes_cli.classify.word_html import explanations_html
from dlnotes_cli.explain.explain import explain_images
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.explain.results import ExplainResult, Explanation
from dlnotes_cli.export.export import export_model
from dlnotes_cli.export.options import ExportConfig
from dlnotes_cli.export.results import ExportResult, Parity
from dlnotes_cli.filter.filter import FilterResult, filter_images
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.filter.patch import PatchResult, filter_patch
from dlnotes_cli.inference.predictions import Prediction, WordContributions
from dlnotes_cli.lessons.conv_shape.conv_shape import conv_shape
from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.lessons.descend import DescendResult, descend
from dlnotes_cli.lessons.loss.loss import calculate_loss
from dlnotes_cli.lessons.loss.options import LossConfig
from dlnotes_cli.lessons.loss.results import LossResult
from dlnotes_cli.lessons.options import DescendConfig, PerceptronConfig
from dlnotes_cli.lessons.perceptron import LineResult, PerceptronResult, perceptron
from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.lessons.trace.results import TraceResult
from dlnotes_cli.lessons.trace.text_trace import TextTrace, trace_text
from dlnotes_cli.lessons.trace.trace import trace
from dlnotes_cli.manage.data import ImagesInfo, NamedSetInfo, TableInfo, describe_data, list_sets
from dlnotes_cli.manage.data_cache import CachedFolder, clear_cache, list_cache
from dlnotes_cli.manage.doctor import DoctorReport, examine
from dlnotes_cli.manage.early_stopping import EarlyStoppingResult, ReplayedRun, replay_early_stopping
from dlnotes_cli.manage.options import (
    CacheClearConfig,
    CacheListConfig,
    DataInfoConfig,
    DataListConfig,
    DataPreviewConfig,
    DoctorConfig,
    EarlyStoppingConfig,
)
from dlnotes_cli.manage.preview import PreviewResult, draw_preview
from dlnotes_cli.manage.text_preview import TextPreview, preview_text
from dlnotes_cli.series.accuracy import Coverage, ForecastAccuracy
from dlnotes_cli.series.backtest import BacktestResult, backtest_series
from dlnotes_cli.series.forecast import ForecastResult, ForecastValue, forecast_series
from dlnotes_cli.series.options import SeriesBacktestConfig, SeriesForecastConfig, SeriesTrainConfig
from dlnotes_cli.series.results import SeriesTrainResult
from dlnotes_cli.series.train import train_series
from dlnotes_cli.serve.options import ServeConfig
from dlnotes_cli.serve.server import Server
from dlnotes_cli.shapes import WindowSpec, analyze, solve
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import DlnotesError, GateError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.style.feature_network import layer_names
from dlnotes_cli.style.options import StyleTransferConfig
from dlnotes_cli.style.results import StyleResult
from dlnotes_cli.style.style_transfer import style_transfer
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.results import TextModelScores, TextResult
from dlnotes_cli.text.train_text import train_text
from dlnotes_cli.training.model_file import (
    LanguageModel,
    SeriesModel,
    TextModel,
    TrainedModel,
    load_classifier,
    load_language_model,
    load_series_model,
    load_text_model,
)
from dlnotes_cli.training.results import ClassifierResult
from dlnotes_cli.training.resumed_options import resumed_config
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.results import FrozenResult, TransferResult
from dlnotes_cli.transfer.transfer import BackboneInfo, list_backbones, transfer
from dlnotes_cli.visualize.activations import ActivationsResult, show_activations
from dlnotes_cli.visualize.dream import DreamResult, dream
from dlnotes_cli.visualize.embedding import EmbeddingResult, embed
from dlnotes_cli.visualize.filters import FiltersResult, show_filters
from dlnotes_cli.visualize.layers import LayersResult, list_layers
from dlnotes_cli.visualize.maximize import MaximizeResult, maximize
from dlnotes_cli.visualize.neighbors import NeighborsResult, find_neighbors
from dlnotes_cli.visualize.options import (
    ActivationsConfig,
    DreamConfig,
    EmbeddingConfig,
    FiltersConfig,
    LayersConfig,
    MaximizeConfig,
    NeighborsConfig,
    PatchesConfig,
)
from dlnotes_cli.visualize.patches import PatchesResult, find_patches

__all__ = [
    "ActivationsConfig",
    "ActivationsResult",
    "BackboneInfo",
    "BacktestResult",
    "CacheClearConfig",
    "CacheListConfig",
    "CachedFolder",
    "CharRnnResult",
    "CharRnnSampleConfig",
    "CharRnnSampler",
    "CharRnnScoreConfig",
    "CharRnnTrainConfig",
    "ClassifierResult",
    "ConvShapeConfig",
    "ConvShapeResult",
    "Coverage",
    "DataInfoConfig",
    "DataListConfig",
    "DataPreviewConfig",
    "DescendConfig",
    "DescendResult",
    "DlnotesError",
    "DoctorConfig",
    "DoctorReport",
    "DreamConfig",
    "DreamResult",
    "EarlyStoppingConfig",
    "EarlyStoppingResult",
    "EmbeddingConfig",
    "EmbeddingResult",
    "EvaluateConfig",
    "EvaluateResult",
    "ExplainConfig",
    "ExplainResult",
    "Explanation",
    "ExportConfig",
    "ExportResult",
    "FilterConfig",
    "FilterResult",
    "FiltersConfig",
    "FiltersResult",
    "ForecastAccuracy",
    "ForecastResult",
    "ForecastValue",
    "FrozenResult",
    "GateError",
    "ImagesInfo",
    "InputError",
    "LanguageModel",
    "LayersConfig",
    "LayersResult",
    "LineResult",
    "LossConfig",
    "LossResult",
    "MaximizeConfig",
    "MaximizeResult",
    "NamedSetInfo",
    "NeighborsConfig",
    "NeighborsResult",
    "Parity",
    "PatchResult",
    "PatchesConfig",
    "PatchesResult",
    "PerceptronConfig",
    "PerceptronResult",
    "PredictConfig",
    "Prediction",
    "Predictor",
    "PreviewResult",
    "ReplayedRun",
    "Sample",
    "SampleResult",
    "Score",
    "ScoreResult",
    "SeriesBacktestConfig",
    "SeriesForecastConfig",
    "SeriesModel",
    "SeriesTrainConfig",
    "SeriesTrainResult",
    "ServeConfig",
    "Server",
    "ShiftTestResult",
    "StoppedError",
    "StyleResult",
    "StyleTransferConfig",
    "TableInfo",
    "TextModel",
    "TextModelScores",
    "TextPreview",
    "TextResult",
    "TextTrace",
    "TraceConfig",
    "TraceResult",
    "TrainCnnConfig",
    "TrainMlpConfig",
    "TrainTextConfig",
    "TrainedModel",
    "TransferConfig",
    "TransferResult",
    "UnfinishedError",
    "WindowSpec",
    "WordContributions",
    "analyze",
    "backtest_series",
    "calculate_loss",
    "clear_cache",
    "conv_shape",
    "descend",
    "describe_data",
    "draw_preview",
    "dream",
    "embed",
    "evaluate_model",
    "examine",
    "explain_images",
    "explanations_html",
    "export_model",
    "filter_images",
    "filter_patch",
    "find_neighbors",
    "find_patches",
    "forecast_series",
    "layer_names",
    "list_backbones",
    "list_cache",
    "list_layers",
    "list_sets",
    "load_classifier",
    "load_language_model",
    "load_series_model",
    "load_text_model",
    "maximize",
    "output",
    "perceptron",
    "predictions_csv",
    "preview_text",
    "replay_early_stopping",
    "report_network",
    "resumed_config",
    "score_texts",
    "shift_test",
    "show_activations",
    "show_filters",
    "solve",
    "style_transfer",
    "to_json",
    "trace",
    "trace_text",
    "train_char_rnn",
    "train_cnn",
    "train_mlp",
    "train_series",
    "train_text",
    "transfer",
]
