"""`dlnotes char-rnn train`, `sample` and `score`."""

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig, CharRnnScoreConfig, CharRnnTrainConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json

_RULE = "-" * 15  # below each of several samples


@command(
    panel="Train",
    task="char_rnn.train:train_char_rnn -> CharRnnResult",
    examples=(
        "dlnotes char-rnn train --hidden-size 64 --max-steps 40 --out runs/help",
        "dlnotes char-rnn train --recipe notes --hidden-size 32 --max-steps 5 --json",
    ),
)
def train(config: CharRnnTrainConfig) -> None:
    """Train a character-level language model (LSTM, GRU or plain RNN) on text.

    The end of the text is held out; validation loss is reported in bits per character.
    """


@command(
    panel="Use",
    task="char_rnn.sample:CharRnnSampler -> SampleResult",
    also=("char_rnn.sample:Sample",),
    examples=(
        'dlnotes char-rnn sample runs/help --prime "The " --length 100',
        "dlnotes char-rnn sample runs/help --count 3 --length 20 --json",
    ),
)
def sample(config: CharRnnSampleConfig) -> None:
    """Generate text with a trained character-level language model.

    A single sample is printed character by character as it is generated.
    """
    from dlnotes_cli.char_rnn.sample import CharRnnSampler

    sampler = CharRnnSampler(config)
    if config.json:
        output.document(config.command, to_json(sampler.sample()))
    elif config.count == 1:
        output.raw(sampler.prime)
        for piece in sampler.stream():
            output.raw(piece)
        output.raw("\n")
    else:
        for one in sampler.sample().samples:
            output.raw(f"{sampler.prime}{one.text}\n{_RULE}\n")


@command(
    panel="Use",
    task="char_rnn.score:score_texts -> ScoreResult",
    also=("char_rnn.score:Score", "char_rnn.score:TextScore"),
    examples=(
        "dlnotes char-rnn score runs/help runs/help/config.json",
        "dlnotes char-rnn score runs/help runs/help/config.json --lines --json",
    ),
)
def score(config: CharRnnScoreConfig) -> None:
    """Score texts with a trained character-level language model: loss, bits per character and perplexity."""
