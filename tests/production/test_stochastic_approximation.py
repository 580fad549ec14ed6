"""What the chapter on Robbins–Monro and SGD says of torch's averages and schedules."""

import pytest
import torch

PAGE = "book/foundations/stochastic-approximation.ipynb, section In production"
STALE = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"


def test_asgd_does_not_average_by_default():
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.ASGD([w], lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        (w - 1).square().sum().backward()
        optimizer.step()
    assert optimizer.defaults["t0"] == 1e6 and torch.equal(optimizer.state[w]["ax"], w), STALE


def test_averaged_model_is_the_plain_average_of_what_it_is_shown():
    model = torch.nn.Linear(1, 1, bias=False)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for value in (1.0, 2.0, 6.0):
        torch.nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
    assert abs(averaged.module.weight.item() - 3) < 1e-6, STALE


def test_lambda_lr_counts_from_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ZeroDivisionError):
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 / k)
