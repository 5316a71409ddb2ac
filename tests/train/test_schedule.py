import dataclasses
import itertools

import pytest

from soundstream.train.checkpoint import Progress
from soundstream.train.clock import ClockConfig
from soundstream.train.config import TrainConfig, timed
from soundstream.train.losses.reconstruction import LossConfig
from soundstream.train.steps.optimizer import OptimizerConfig
from soundstream.train.steps.schedule import Phase, Schedule, ramp

CLOCK = ClockConfig(
    trunk_from=0.1, quantize_from=0.2, shift=(0.3, 0.5), adversarial_from=0.6, decay_from=0.4, average=0.02
)
STEPS = TrainConfig(
    total_steps=100,
    trunk_from_step=10,
    quantize_from_step=20,
    adversarial_from_step=60,
    discriminator_warmup_steps=5,
    loss=LossConfig(shift_steps=(30, 50), mel_weight=(0.0, 1.0)),
    optimizer=OptimizerConfig(warmup_steps=4, decay_steps=40, learning_rate=1.0, discriminator_learning_rate=1.0),
    clock=CLOCK,
)
TIMED = timed(STEPS, 1000.0)
FRESH = Progress(quantized=False)


def walked(config, start=FRESH, count=100):
    """Progress and share of each step of a run of so many steps, evenly spread over its time limit."""
    schedule, progress, found = Schedule(config), start, []
    for i in range(count):
        share = i / count if config.time_limit_s else 0.0
        progress = schedule.entered(progress, share)
        if schedule.wants_codebooks(progress):
            progress = dataclasses.replace(progress, quantized=True)
        found.append((progress, share))
        progress = dataclasses.replace(progress, step=progress.step + 1)
    return schedule, found


@pytest.mark.parametrize("config", [STEPS, TIMED], ids=["steps", "clock"])
def test_phases_begin_where_they_are_due(config):
    schedule, steps = walked(config)
    phases = [schedule.phase(progress) for progress, _ in steps]
    firsts = {name: [getattr(phase, name) for phase in phases].index(True) for name in Phase._fields}
    assert firsts == {"trunks": 10, "quantized": 20, "judged": 60, "followed": 65, "measured": 0}
    mel = [schedule.weights(progress)["mel"] for progress, _ in steps]
    assert (mel[30], mel[40], mel[50]) == pytest.approx((0.0, 0.5, 1.0))


@pytest.mark.parametrize("config", [STEPS, TIMED], ids=["steps", "clock"])
def test_rates_rise_stay_and_fall_to_zero_at_the_end(config):
    schedule, steps = walked(config)
    rates = [schedule.rate(progress, share) for progress, share in steps]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(rates[4:40]) == {1.0}
    assert rates[-1] < 0.002 and all(a >= b for a, b in itertools.pairwise(rates[40:]))
    middle = rates[80] if config is STEPS else rates[70]
    assert middle == pytest.approx(0.5, abs=0.03)


def test_the_discriminators_rate_rises_from_where_they_begin_and_keeps_what_is_left_of_it():
    schedule = Schedule(dataclasses.replace(STEPS, total_steps=1000))
    ages = [Progress(step, discriminator_fresh_from=60, discriminator_rate_factor=0.5) for step in (60, 61, 70)]
    assert [schedule.discriminator_rate(progress, 0.0) for progress in ages] == [0.125, 0.25, 0.5]


def test_the_generator_may_have_another_rate_with_discriminators():
    optimizer = dataclasses.replace(STEPS.optimizer, adversarial_learning_rate=0.25)
    schedule = Schedule(dataclasses.replace(STEPS, total_steps=1000, optimizer=optimizer))
    found = [schedule.rate(Progress(70, discriminator_fresh_from=begin), 0.0) for begin in (None, 60)]
    assert found == [1.0, 0.25]


def test_terms_of_the_discriminators_rise_over_their_ramp():
    config = dataclasses.replace(STEPS, discriminator_ramp_steps=10, loss=LossConfig(feature_weight=0.8))
    progress = [Progress(step, discriminator_fresh_from=60) for step in (65, 69, 74, 90)]
    found = [Schedule(config).weights(each)["feature"] for each in progress]
    assert found == pytest.approx([0.08, 0.4, 0.8, 0.8])


def test_discriminators_rest_between_their_steps_and_norms_are_measured_now_and_then():
    loss = dataclasses.replace(STEPS.loss, balance_every=10)
    schedule = Schedule(dataclasses.replace(STEPS, discriminator_every=2, loss=loss))
    phases = [schedule.phase(Progress(step, discriminator_fresh_from=60)) for step in range(70, 82)]
    assert [phase.judged for phase in phases] == [True, False] * 6
    assert [i for i, phase in enumerate(phases) if phase.measured] == [0, 10]


def test_a_young_average_forgets_soon_and_by_the_clock_its_span_is_a_share_of_the_time():
    progress = [Progress(step, fresh_from=100) for step in (100, 129, 100_000)]
    assert [Schedule(STEPS).average_decay(each, 0.0) for each in progress] == pytest.approx([2 / 11, 31 / 40, 0.999])
    assert Schedule(TIMED).average_decay(progress[2], 0.001) == pytest.approx(1 - 0.001 / 0.02)
    assert Schedule(TIMED).average_decay(progress[2], 0.5) == 0


# going on


def test_what_was_reached_stays_when_another_run_goes_on():
    _, steps = walked(TIMED)
    middle = steps[70][0]
    for config in (TIMED, dataclasses.replace(STEPS, trunk_from_step=500, quantize_from_step=500)):
        schedule, again = walked(config, middle, 3)
        assert schedule.phase(again[0][0])._replace(measured=True) == Phase(True, True, True, True, True)
        assert schedule.weights(again[0][0])["mel"] == 1
    assert Schedule(TIMED).rate(again[0][0], 0.0) == 1


def test_a_state_that_was_trained_by_steps_goes_on_by_the_clock_where_it_was():
    schedule = Schedule(TIMED)
    progress = schedule.resumed(Progress(step=40, quantized=True))
    phase = schedule.phase(schedule.entered(progress, 0.001))
    assert (phase.trunks, phase.quantized, phase.judged) == (True, True, False)
    assert schedule.weights(progress)["mel"] == pytest.approx(0.5)
    assert Schedule(STEPS).resumed(Progress(step=40)) == Progress(step=40)


def test_a_state_without_codebooks_gets_them_by_the_clock():
    schedule = Schedule(TIMED)
    progress = schedule.resumed(Progress(step=5, quantized=False))
    assert not schedule.wants_codebooks(schedule.entered(progress, 0.1))
    assert schedule.wants_codebooks(schedule.entered(progress, 0.21))


@pytest.mark.parametrize(
    ("x", "ends", "expected"), [(2, (2, 2), 1), (1, (2, 2), 0), (3, (2, 6), 0.25), (9, (2, 6), 1), (0, (0, 0), 1)]
)
def test_a_ramp_goes_from_0_to_1(x, ends, expected):
    assert ramp(x, *ends) == expected
