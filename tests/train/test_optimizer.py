import pytest
import torch
from torch import nn

from soundstream.train.steps.optimizer import (
    OptimizerConfig,
    adamw,
    follow,
    optimizer_state,
    restore_optimizer,
    set_rate,
)
from tiny import noise


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, (1, 3)), nn.ELU(), nn.Conv2d(4, 1, (1, 1)))


def steps(module, optimizer, count):
    for seed in range(count):
        optimizer.zero_grad()
        module(noise(2, 3, 1, 9, seed=seed)).square().sum().backward()
        follow(optimizer, 10.0)


def test_a_rate_rises_over_the_warm_up_and_stays():
    assert [OptimizerConfig(warmup_steps=4).rise(age) for age in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert OptimizerConfig(warmup_steps=0).rise(0) == 1


def test_a_rate_is_that_of_the_steps_to_come():
    module = network()
    optimizer = adamw(module, 1.0, (0.9, 0.99), 0.0)
    set_rate(optimizer, 0.0)
    before = [p.detach().clone() for p in module.parameters()]
    steps(module, optimizer, 1)
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


def test_what_is_not_to_be_trained_is_left_alone():
    module = network()
    module[0].requires_grad_(False)
    optimizer = adamw(module, 1e-2, (0.9, 0.99), 0.1)
    before = [p.detach().clone() for p in module.parameters()]
    steps(module, optimizer, 1)
    assert [torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True)] == [True, True, False, False]


def test_a_gradient_is_clipped_and_its_norm_told():
    module = network()
    optimizer = adamw(module, 1e-2, (0.9, 0.99), 0.0)
    module(noise(2, 3, 1, 9)).square().sum().backward()
    norm = torch.cat([p.grad.flatten() for p in module.parameters()]).norm()
    assert follow(optimizer, 0.1) == pytest.approx(float(norm))
    assert torch.cat([p.grad.flatten() for p in module.parameters()]).norm() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_step_is_that_of_pytorchs_plain_loop(layout):
    ours, plain = (network().to(memory_format=layout) for _ in range(2))
    steps(ours, adamw(ours, 1e-2, (0.8, 0.99), 0.1), 3)
    reference = torch.optim.AdamW(plain.parameters(), 1e-2, (0.8, 0.99), weight_decay=0.1, foreach=False, fused=False)
    for seed in range(3):
        reference.zero_grad()
        plain(noise(2, 3, 1, 9, seed=seed)).square().sum().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 10.0)
        reference.step()
    for p, q in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_state_is_kept_by_name_and_comes_back(layout):
    whole, halves = (network().to(memory_format=layout) for _ in range(2))
    steps(whole, optimizer := adamw(whole, 1e-2, (0.9, 0.99), 0.0), 2)
    halves.load_state_dict(whole.state_dict())
    state = {name: value.clone(memory_format=torch.contiguous_format) for name, value in
             optimizer_state(whole, optimizer).items()}  # fmt: skip
    names = {name for name, _ in whole.named_parameters()}
    assert set(state) == {f"{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in names}
    other = adamw(halves, 1e-2, (0.9, 0.99), 0.0)
    steps(halves, other, 1)
    halves.load_state_dict(whole.state_dict())
    restore_optimizer(halves, other, state)
    steps(whole, optimizer, 2)
    steps(halves, other, 2)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), halves.parameters(), strict=True))


def test_an_empty_state_is_a_fresh_start():
    module = network()
    steps(module, optimizer := adamw(module, 1e-2, (0.9, 0.99), 0.0), 2)
    restore_optimizer(module, optimizer, {})
    assert optimizer_state(module, optimizer) == {}
