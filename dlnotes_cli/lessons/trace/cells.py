"""Recurrent cells written out gate by gate, with the weights of PyTorch's layers, so that every gate can be seen."""

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.trace.options import UseGate

Gates = dict[str, Tensor]  # by name, each (N, H)
StatePair = tuple[Tensor, Tensor]  # hidden state and cell state (N, H); only an LSTM uses the second
LABELS = {
    "i": "input gate", "f": "forget gate", "g": "candidate", "o": "output gate", "c": "cell state", "h": "hidden state",
    "r": "reset gate", "z": "update gate", "n": "candidate", "u": "use gate",
}  # fmt: skip
KINDS = {nn.RNN: "RNN", nn.LSTM: "LSTM", nn.GRU: "GRU"}


class Cell(nn.Module):
    """One layer and direction of an RNN, LSTM or GRU, unrolled; the state dict has PyTorch's names.

    `peephole` adds weights by which the gates i, f, o of an LSTM see the old cell state (Gers and Schmidhuber 2000), as
    full matrices, as the notes write them. `use_gate` notes replaces tanh(c) by u = tanh(W f c_old + b).
    """

    def __init__(self, layer: nn.RNNBase, *, peephole: bool = False, use_gate: UseGate = "pytorch") -> None:
        super().__init__()
        self.kind = KINDS[type(layer)]
        self.nonlinearity = getattr(layer, "nonlinearity", "tanh")
        self.batch_first = layer.batch_first
        self.hidden = layer.hidden_size
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, nn.Parameter(parameter.detach().clone()))
        if not layer.bias:
            for name in ("bias_ih_l0", "bias_hh_l0"):
                self.register_buffer(name, torch.zeros(layer.get_parameter("weight_ih_l0").shape[0]), persistent=False)
        size = self.hidden
        scale = size**-0.5
        self.weight_ch = nn.Parameter(torch.empty(3 * size, size).uniform_(-scale, scale)) if peephole else None
        self.weight_u = nn.Parameter(torch.empty(size, size).uniform_(-scale, scale)) if use_gate == "notes" else None
        self.bias_u = nn.Parameter(torch.zeros(size)) if use_gate == "notes" else None

    def forward(self, x: Tensor, state: StatePair) -> tuple[Tensor, list[Gates]]:
        """Hidden states (N, T, H) for x (N, T, F) and the state before it, and the gates of each time step."""
        steps = []
        for event in x.unbind(1):
            gates = _STEPS[self.kind](self, event, state)
            state = gates["h"], gates.get("c", state[1])
            steps.append(gates)
        return torch.stack([gates["h"] for gates in steps], 1), steps

    def sums(self, event: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """What the gates see of the event and of the hidden state, each (N, gates * H)."""
        weights = (self.get_parameter(name) for name in ("weight_ih_l0", "weight_hh_l0"))
        biases = (getattr(self, name) for name in ("bias_ih_l0", "bias_hh_l0"))
        of_event, of_state = (
            nn.functional.linear(values, weight, bias)
            for values, weight, bias in zip((event, h), weights, biases, strict=True)
        )
        return of_event, of_state


def _rnn(cell: Cell, event: Tensor, state: StatePair) -> Gates:
    """H = tanh(W [x, h] + b)."""
    total = sum(cell.sums(event, state[0]))
    return {"h": torch.relu(total) if cell.nonlinearity == "relu" else torch.tanh(total)}  # type: ignore[arg-type]


def _lstm(cell: Cell, event: Tensor, state: StatePair) -> Gates:
    """i, f, o are sigmoids and g a tanh of W [x, h] + b; c = f c + i g; h = o tanh(c)."""
    of_event, of_state = cell.sums(event, state[0])
    i, f, g, o = (of_event + of_state).chunk(4, 1)
    if cell.weight_ch is not None:
        seen = nn.functional.linear(state[1], cell.weight_ch).chunk(3, 1)
        i, f, o = i + seen[0], f + seen[1], o + seen[2]
    i, f, o, g = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o), torch.tanh(g)
    c = f * state[1] + i * g
    gates = {"i": i, "f": f, "g": g, "o": o, "c": c}
    if cell.weight_u is None:
        return {**gates, "h": o * torch.tanh(c)}
    u = torch.tanh(nn.functional.linear(f * state[1], cell.weight_u, cell.bias_u))
    return {**gates, "u": u, "h": o * u}


def _gru(cell: Cell, event: Tensor, state: StatePair) -> Gates:
    """R and z are sigmoids of W [x, h] + b; n = tanh(W x + b + r (W h + b)); h = (1 - z) n + z h."""
    of_event, of_state = (total.chunk(3, 1) for total in cell.sums(event, state[0]))
    r, z = (torch.sigmoid(of_event[k] + of_state[k]) for k in (0, 1))
    n = torch.tanh(of_event[2] + r * of_state[2])
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * state[0]}


_STEPS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}
