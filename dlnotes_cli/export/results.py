"""What `export` reports."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlnotes_cli.shell.output import counted


@dataclass(frozen=True)
class TensorShape:
    """An input or output of an exported file: its name, element type and shape, in which the batch axis is N."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"shape": list(self.shape)}

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

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"batches": list(self.batches)}

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
    nbytes: int  # of its file

    def as_json(self) -> dict[str, Any]:
        """An entry of `timings`."""
        fields = asdict(self)
        return fields | {"bytes": fields.pop("nbytes")}


@dataclass(frozen=True)
class ExportResult:
    """The result of `export`."""

    model: Path
    out: Path
    format: str
    nbytes: int
    parity: Parity
    dtype: str = "float32"
    dynamic: bool = True
    opset: int | None = None
    nodes: int | None = None
    inputs: tuple[TensorShape, ...] = ()
    outputs: tuple[TensorShape, ...] = ()
    latency: Latency | None = None
    timings: tuple[ModelTiming, ...] = ()
    load_with: str = ""  # Python code that loads a state dict

    def as_json(self) -> dict[str, Any]:
        """The fields of the JSON document."""
        return {
            "model_file": str(self.model), "out": str(self.out), "format": self.format, "bytes": self.nbytes,
            "dtype": self.dtype, "dynamic": self.dynamic, "opset": self.opset, "nodes": self.nodes,
            "inputs": [tensor.as_json() for tensor in self.inputs],
            "outputs": [tensor.as_json() for tensor in self.outputs],
            "parity": self.parity.as_json(), "latency": self.latency and asdict(self.latency),
            "timings": [timing.as_json() for timing in self.timings], "load_with": self.load_with or None,
        }  # fmt: skip
