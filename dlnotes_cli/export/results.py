"""What `export` reports."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import named
from dlnotes_cli.shell.output import counted
from dlnotes_cli.shell.show import Detail, Table

_TIMES = ("ms per sample", "in batches", "accuracy", "same class", "file")


@dataclass(frozen=True)
class TensorShape:
    """An input or output of an exported file: its name, element type and shape, in which the batch axis is N."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Parity:
    """The comparison of an exported file with the model file on the same samples."""

    data: str  # where the samples are from
    samples: int
    batches: tuple[int, ...]  # sizes of the batches that were run
    largest_difference: float  # of a probability
    same_class: float  # fraction of the samples whose most probable class is the same
    ties: int  # samples whose two most probable classes differ by no more than rounding, and changed places
    tolerance: float

    def __str__(self) -> str:
        *first, last = map(str, self.batches)
        batches = f"batches of {', '.join(first)} and {last}" if first else f"batches of {last}"
        ties = f", {counted(self.ties, 'tie')}" if self.ties else ""
        difference = f"{self.largest_difference:.1e}" if self.largest_difference else "0"
        return (
            f"{counted(self.samples, 'sample')} of {self.data}, {batches}: largest difference of a probability "
            f"{difference}, same class {self.same_class:.2%}{ties}"
        )


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one sample, medians of `runs` calls."""

    exported_ms: float
    eager_ms: float
    runs: int

    def __str__(self) -> str:
        return (
            f"{self.exported_ms:.3f} ms per sample, PyTorch {self.eager_ms:.3f} ms "
            f"(medians of {self.runs} calls with one sample)"
        )


@dataclass(frozen=True)
class ModelTiming:
    """One way to run a model: its speed, and its accuracy on the samples of the check."""

    name: str
    ms: float  # per sample, in calls with one sample
    batch_ms: float  # per sample, in large batches
    accuracy: float
    same_class: float  # fraction of the samples with the same class as PyTorch in fp32
    nbytes: int = field(metadata=named("bytes"))  # of its file

    @property
    def row(self) -> tuple[str, ...]:
        """The row of a table with the columns `_TIMES`."""
        times = (f"{self.ms:.3f}", f"{self.batch_ms:.3f}")
        return self.name, *times, f"{self.accuracy:.4f}", f"{self.same_class:.4f}", output.size(self.nbytes)


@dataclass(frozen=True)
class ExportResult:
    """The result of `export`."""

    model: Path = field(metadata=named("model_file"))
    out: Path
    format: str
    nbytes: int = field(metadata=named("bytes"))
    parity: Parity
    dtype: str = "float32"
    dynamic: bool = True
    opset: int | None = None
    nodes: int | None = None
    inputs: tuple[TensorShape, ...] = ()
    outputs: tuple[TensorShape, ...] = ()
    latency: Latency | None = None
    timings: tuple[ModelTiming, ...] = ()
    load_with: str | None = None  # Python code that loads a state dict

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were written."""
        return (self.out,)

    def table(self) -> Iterator[Table | str]:
        """The file, its inputs and outputs, the check, and what `--time` measured or how to load a state dict."""
        parts = [self.format, self.dtype, output.size(self.nbytes)]
        parts += [f"opset {self.opset}"] if self.opset else []
        parts += [counted(self.nodes, "node")] if self.nodes else []
        rows = [("file", ", ".join(parts))]
        for label, tensors in (("input", self.inputs), ("output", self.outputs)):
            rows += [(label, "; ".join(map(str, tensors)))] if tensors else []
        rows += [("check", str(self.parity))]
        rows += [("latency", str(self.latency))] if self.latency else []
        yield from (Detail(f"{label:<8} {text}") for label, text in rows)
        if self.timings:
            yield Table(("", *_TIMES), [timing.row for timing in self.timings], _TIMES)
            return
        yield Detail("")
        if self.load_with:
            yield Detail("To load it:")
            yield from (Detail(f"    {line}") for line in self.load_with.splitlines())
            yield Detail("")
