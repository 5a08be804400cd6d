"""`dlnotes runs list`, `show`, `best`, `diff`, `compare` and `early-stopping`."""

from dlnotes_cli.runs.options import BestConfig, CompareConfig, DiffConfig, EarlyStoppingConfig, ListConfig, ShowConfig
from dlnotes_cli.shell.binding import command


@command(
    panel="Manage",
    task="runs.listing:list_runs -> RunList",
    also=("runs.listing:ListedRun",),
    examples=(
        "dlnotes runs list",
        "dlnotes runs list --sort test.accuracy --columns lr,hidden,test.accuracy",
    ),
)
def list_runs(config: ListConfig) -> None:
    """List the training runs in a folder and below it, with their metrics; broken and unfinished ones are marked.

    Columns are the options of the runs and the numbers of their results, by the names that runs show lists.
    """


@command(
    panel="Manage",
    task="runs.listing:show_run -> RunDetails",
    examples=("dlnotes runs show runs/digits", "dlnotes runs show runs/digits --json"),
)
def show_run(config: ShowConfig) -> None:
    """Show one training run: its metrics, its other results and its options."""


@command(
    panel="Manage",
    task="runs.listing:best_run -> BestRun",
    examples=("dlnotes runs best", "dlnotes runs best runs --metric validation.accuracy --where data=digits"),
)
def best_run(config: BestConfig) -> None:
    """Print the path of the best finished run below a folder, for `dlnotes evaluate $(dlnotes runs best)`.

    Choose by a metric of validation: the test metrics of a run that was chosen by them are optimistic.
    """


@command(
    panel="Manage",
    task="runs.listing:diff_runs -> RunDifferences",
    examples=("dlnotes runs diff runs/digits runs/notes", "dlnotes runs diff runs/digits runs/notes --json"),
)
def diff_runs(config: DiffConfig) -> None:
    """List the options that differ between training runs."""


@command(
    panel="Manage",
    task="runs.compare:compare_runs -> CompareResult",
    also=("runs.compare:RunScores", "runs.significance:compare_samples", "runs.significance:SampleDifference"),
    examples=(
        "dlnotes runs compare runs/digits runs/notes",
        "dlnotes runs compare runs/digits runs/notes --plot curves.png --json",
    ),
)
def compare_runs(config: CompareConfig) -> None:
    """Compare trained classifiers on the same test samples, and test whether differences are more than chance.

    Accuracies are compared by McNemar's exact test, and all metrics by the bootstrap of paired samples. With several
    runs, each test has its share of the error probability (Bonferroni).
    """


@command(
    panel="Manage",
    task="runs.early_stopping:replay_early_stopping -> EarlyStoppingResult",
    also=("runs.early_stopping:ReplayedRun",),
    examples=(
        "dlnotes runs early-stopping runs/digits",
        "dlnotes runs early-stopping runs/digits --patience 1,3 --plot stops.png",
    ),
)
def early_stopping(config: EarlyStoppingConfig) -> None:
    """Replay early stopping on the validations of finished runs: where each patience stops, and which epoch it keeps.

    Train the runs without --patience; a schedule that depends on the length of the run stays that of the whole run.
    """
