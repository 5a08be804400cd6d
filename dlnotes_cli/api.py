"""dlnotes from Python: each command as a function of its options, which have the shell's names and defaults.

>>> from dlnotes_cli.api import ConvShapeConfig, conv_shape
>>> conv_shape(ConvShapeConfig(layers=("Conv2d(3, 10, 3)",), input=(3, 130, 130))).fields["parameters"]
280

A Config checks its values when it is made. What a user can mend is raised as a `DlnotesError`, whose text is the line
that the command prints and whose `exit_code` is the code it ends with. Notes and progress go to stderr;
`output.configure(quiet=True)` silences them. `resumed_config(TrainMlpConfig, {"resume": "runs/digits", "epochs": 80})`
has the options of a run that is to go on.
"""

from dlnotes_cli import output
from dlnotes_cli.configs.char_rnn import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.configs.conv_shape import ConvShapeConfig
from dlnotes_cli.configs.data import DataInfoConfig, DataListConfig, DataPreviewConfig
from dlnotes_cli.configs.data_cache import CacheClearConfig
from dlnotes_cli.configs.doctor import DoctorConfig
from dlnotes_cli.configs.evaluate import EvaluateConfig
from dlnotes_cli.configs.filter import FilterConfig
from dlnotes_cli.configs.predict import PredictConfig
from dlnotes_cli.configs.style_transfer import StyleTransferConfig
from dlnotes_cli.configs.train_cnn import TrainCnnConfig
from dlnotes_cli.configs.train_mlp import TrainMlpConfig
from dlnotes_cli.configs.transfer import TransferConfig
from dlnotes_cli.errors import DlnotesError, GateError, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shapes import Setting, analyse, solve
from dlnotes_cli.tasks.char_rnn_sample import CharRnnSampler, Sample
from dlnotes_cli.tasks.char_rnn_score import Scores, score_texts
from dlnotes_cli.tasks.char_rnn_train import train_char_rnn
from dlnotes_cli.tasks.conv_shape import ShapeAnswer, conv_shape
from dlnotes_cli.tasks.data import DataInfo, describe_data, list_sets
from dlnotes_cli.tasks.data_cache import CachedFolder, clear_cache, list_cache
from dlnotes_cli.tasks.doctor import examine
from dlnotes_cli.tasks.evaluate import EvaluateResult, evaluate_model
from dlnotes_cli.tasks.filter import FilterResult, filter_pictures
from dlnotes_cli.tasks.filter_patch import PatchAnswer, filter_patch
from dlnotes_cli.tasks.predict import Prediction, Predictor
from dlnotes_cli.tasks.preview import draw_preview
from dlnotes_cli.tasks.record import TrainingResult
from dlnotes_cli.tasks.style_transfer import StyleResult, style_transfer
from dlnotes_cli.tasks.train_cnn import train_cnn
from dlnotes_cli.tasks.train_mlp import train_mlp
from dlnotes_cli.tasks.transfer import list_backbones, transfer
from dlnotes_cli.training.checkpoint import LanguageModel, TrainedModel, load_classifier, load_language_model
from dlnotes_cli.training.run_folder import resumed_config

__all__ = [
    "CacheClearConfig",
    "CachedFolder",
    "CharRnnSampleConfig",
    "CharRnnSampler",
    "CharRnnScoreConfig",
    "CharRnnTrainConfig",
    "ConvShapeConfig",
    "DataInfo",
    "DataInfoConfig",
    "DataListConfig",
    "DataPreviewConfig",
    "DlnotesError",
    "DoctorConfig",
    "EvaluateConfig",
    "EvaluateResult",
    "FilterConfig",
    "FilterResult",
    "GateError",
    "InputError",
    "LanguageModel",
    "PatchAnswer",
    "PredictConfig",
    "Prediction",
    "Predictor",
    "Sample",
    "Scores",
    "Setting",
    "ShapeAnswer",
    "StoppedError",
    "StyleResult",
    "StyleTransferConfig",
    "TrainCnnConfig",
    "TrainMlpConfig",
    "TrainedModel",
    "TrainingResult",
    "TransferConfig",
    "UnfinishedError",
    "analyse",
    "clear_cache",
    "conv_shape",
    "describe_data",
    "draw_preview",
    "evaluate_model",
    "examine",
    "filter_patch",
    "filter_pictures",
    "list_backbones",
    "list_cache",
    "list_sets",
    "load_classifier",
    "load_language_model",
    "output",
    "resumed_config",
    "score_texts",
    "solve",
    "style_transfer",
    "train_char_rnn",
    "train_cnn",
    "train_mlp",
    "transfer",
]
