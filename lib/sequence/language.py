"""Language modelling: what a causal model is trained on."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lib.course.shapes import checked


@checked
def next_token_loss(model: nn.Module, windows: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
    """The mean cross-entropy, in nats, of every token of each window but its first, given those before it."""
    if windows.shape[1] < 2:
        raise ValueError(f"windows must hold at least 2 tokens, got {windows.shape[1]}")
    logits = model(windows[:, :-1])
    return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
