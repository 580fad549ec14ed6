"""What the chapter on the bias says of penalised biases and of batch normalisation in the libraries."""

import warnings

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression

PAGE = "book/learning/role-of-bias.ipynb, section In production"
SKLEARN = f"scikit-learn {sklearn.__version__} (1.9.1 on the page): mend the row in {PAGE}"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"


def test_liblinear_penalises_the_bias():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = (X.sum(axis=1) + rng.normal(size=80) > 0).astype(int)

    def weights(solver, shift, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LogisticRegression(solver=solver, tol=1e-10, max_iter=10_000, **options).fit(X + shift, y).coef_

    assert np.abs(weights("liblinear", 0) - weights("liblinear", 3)).max() > 0.05, SKLEARN
    assert np.abs(weights("lbfgs", 0) - weights("lbfgs", 3)).max() < 1e-3, SKLEARN
    penalised_less = np.abs(weights("liblinear", 3, intercept_scaling=1000.0) - weights("lbfgs", 3)).max()
    assert penalised_less < 0.01, SKLEARN


def test_batch_normalisation_stores_the_unbiased_variance():
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    layer = torch.nn.BatchNorm1d(3, momentum=1.0)
    trained = layer(batch)
    assert torch.allclose(trained.var(0, correction=0), torch.ones(3), atol=1e-3), TORCH
    assert torch.allclose(layer.running_var, batch.var(0, correction=1)), TORCH
    assert (layer.eval()(batch) - trained).abs().max() > 0.01, TORCH


def test_adamw_decays_biases_too():
    layer = torch.nn.Linear(2, 2)
    before = layer.bias.detach().clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    assert torch.allclose(layer.bias, 0.95 * before), TORCH
