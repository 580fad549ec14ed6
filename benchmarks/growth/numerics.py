"""Linear systems, trees, scores of detectors, windows of images and traces of Jacobians."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from case import Case, constant, doubled, itself, squared
from detection import CLASSES, data_set
from scipy.sparse import csr_array, diags_array, eye_array, kron
from sklearn.datasets import make_friedman1

from lib.foundations.quadratics import conjugate_gradient
from lib.generative.likelihood import divergence
from lib.learning.trees import grow_tree
from lib.vision.detection import evaluate
from lib.vision.windows import SwinBlock


def laplacian(side: int) -> csr_array:
    """The five-point Laplacian of a square with zeros around it."""
    line = diags_array([-np.ones(side - 1), 2 * np.ones(side), -np.ones(side - 1)], offsets=[-1, 0, 1])
    return (kron(line, eye_array(side)) + kron(eye_array(side), line)).tocsr()


def solve(product: Callable, n: int) -> Callable:
    """To a residual of 1e-8 of b."""
    b = np.random.default_rng(0).normal(size=n)
    return partial(conjugate_gradient, product, b, tol=1e-8, maxiter=10_000, keep=False)


def systems() -> Iterator[Case]:
    """Steps grow as the square root of the condition, which grows as n for the Laplacian of n places."""

    def plain(n: int) -> Callable:
        return solve(laplacian(round(n**0.5)).__matmul__, n)

    def shifted(n: int) -> Callable:
        return solve((laplacian(round(n**0.5)) + 0.05 * eye_array(n)).__matmul__, n)

    def conditioned(condition: int) -> Callable:
        return solve(np.linspace(1, condition, 100_000).__mul__, 100_000)

    cg, few, many = "conjugate-gradient", *(tuple(side**2 for side in sides) for sides in ((80, 112, 160, 224, 320), (128, 192, 256, 384, 512)))
    yield Case(
        "conjugate gradients, condition fixed", cg, "unknowns", many, shifted, "n", itself, itself,
        "The larger systems no longer fit into the processor's fast memory.",
    )  # fmt: skip
    yield Case("conjugate gradients, Laplacian", cg, "unknowns", few, plain, "n√n", lambda n: n**1.5, itself)
    yield Case("conjugate gradients, 100,000 unknowns", cg, "condition", (100, 400, 1600, 6400), conditioned, "√κ", lambda k: k**0.5, constant)


def trees() -> Iterator[Case]:
    def grow(n: int) -> Callable:
        X, y = make_friedman1(n, noise=1.0, random_state=0)
        X, h = X.astype(np.float32), np.ones(n)
        return partial(grow_tree, X, -y, h, max_depth=6, reg_lambda=1.0, gamma=0.0, min_child_weight=1.0)

    yield Case(
        "exact tree of depth 6, 10 features", "gbdt-to-xgboost", "rows", doubled(4000, 64_000), grow, "n", itself, itself,
        "A scan takes 8192 numbers at a time, however many rows there are.",
    )  # fmt: skip


def boxes() -> Iterator[Case]:
    def score(images: int) -> Callable:
        return partial(evaluate, *data_set(7, 20, images), CLASSES)

    yield Case(
        "average precision as COCO's", "mean-average-precision", "images", doubled(2000, 32_000), score, "n", itself, itself,
        "The curves of 80 classes at ten thresholds are drawn however few images there are.",
    )  # fmt: skip


def windows() -> Iterator[Case]:
    def block(area: int) -> Callable:
        side = round(area**0.5)
        layer, x = SwinBlock(64, 2, 7, shift=3), torch.randn(1, side, side, 64)
        return lambda: layer(x)

    areas = tuple(side**2 for side in (28, 56, 112, 224))
    yield Case("block of shifted windows of 7 × 7", "swin-transformer", "area", areas, block, "n", itself, itself)


def traces() -> Iterator[Case]:
    """Of the Jacobian of a field in d dimensions through 64 units, whose product with a vector takes ∝ d."""

    def field(d: int) -> Callable:
        into, out = torch.randn(d, 64) / d**0.5, torch.randn(64, d) / 8
        return lambda x: (x @ into).tanh() @ out

    def exact(d: int) -> Callable:
        x = torch.randn(16, d)
        return partial(divergence, field(d), x)

    def hutchinson(d: int) -> Callable:
        x = torch.randn(512, d)
        return partial(divergence, field(d), x, torch.randn(1, 512, d).sign())

    few, many = doubled(128, 2048), doubled(512, 16_384)
    yield Case(
        "exact trace of a Jacobian", "cnf-flow-matching", "dimensions", few, exact, "d²", squared, squared,
        "In few dimensions most of the time goes into starting the backward passes.",
    )  # fmt: skip
    yield Case("trace by one random direction", "cnf-flow-matching", "dimensions", many, hutchinson, "d", itself, itself)
