"""Language modelling: what a causal model is trained on."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lib.course.shapes import Float, Int, checked
from lib.course.tensors import kind, working_dtype


@checked
def next_token_loss(model: nn.Module, windows: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
    """The mean cross-entropy, in nats, of every token of each window but its first, given those before it.

    `model` gives logits (batch, length, vocabulary) for tokens (batch, length), a copy that it may overwrite. The loss of
    logits in half precision is float32.
    """
    if not len(windows):
        raise ValueError("windows must hold at least one window, got none")
    if windows.shape[1] < 2:
        raise ValueError(f"windows must hold at least 2 tokens, got {windows.shape[1]}")
    tokens = windows[:, :-1].clone()
    logits, targets = model(tokens), windows[:, 1:].long()
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != targets.shape:
        expected = (*targets.shape, "vocabulary")
        raise ValueError(f"model must return logits of shape {expected}, got {kind(logits)}")
    if targets.min() < 0 or targets.max() >= logits.shape[2]:
        came = f"{targets.min()} … {targets.max()}"
        raise ValueError(f"windows must hold tokens in 0 … {logits.shape[2] - 1}, got {came}")
    return cross_entropy(logits.flatten(0, 1).to(working_dtype(logits.dtype)), targets.flatten())
