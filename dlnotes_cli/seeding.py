"""Seeds and random state: everything drawn at random is a function of the seed and of where it is drawn."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MASK = (1 << 63) - 1


def seed_everything(seed: int) -> None:
    """Seed PyTorch's generators; nothing in dlnotes draws from any other global generator."""
    import torch

    torch.manual_seed(seed)


def derived_seed(*parts: int) -> int:
    """One well-mixed 63-bit seed from several numbers (splitmix64 over each in turn)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state & _MASK


def random_state(device: "torch.device") -> "dict[str, torch.Tensor]":
    """The state of the generators that a training step draws from, as uint8 tensors."""
    import torch

    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: "dict[str, torch.Tensor]", device: "torch.device") -> None:
    """Put the generators back to a state from `random_state`."""
    import torch

    torch.set_rng_state(state["cpu"])
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])
