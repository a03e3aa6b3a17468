"""Progress is told with a rate and the time left, also where there is no terminal."""

import pytest

from jaxcnn.engine import progress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def tick(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    return clock


def test_the_first_step_compiles_and_does_not_count(clock):
    with progress.TrainingProgress(steps=101, start=0, batch_size=10) as shown:
        assert shown.images_per_second() is None
        clock.tick(60)
        shown.update(1)
        assert shown.rate() == "measuring"
        clock.tick(5)
        shown.update(51)
        assert shown.images_per_second() == pytest.approx(100.0)
        assert shown.rate() == "100 images/s · 5 s left"


def test_pauses_do_not_slow_the_rate_but_count_for_the_time_left(clock):
    with progress.TrainingProgress(steps=101, start=0, batch_size=10) as shown:
        shown.update(1)
        clock.tick(5)
        with shown.pause():
            clock.tick(5)
        shown.update(51)
        assert shown.rate() == "100 images/s · 10 s left"


def test_the_rate_is_that_of_the_last_seconds(clock):
    with progress.TrainingProgress(steps=1000, start=0, batch_size=1) as shown:
        for step in range(1, 100):
            clock.tick(10 if step < 50 else 1)
            shown.update(step)
        assert shown.images_per_second() == pytest.approx(1.0)


def test_a_resumed_run_counts_its_own_steps(clock):
    with progress.TrainingProgress(steps=200, start=100, batch_size=1) as shown:
        shown.update(101)
        clock.tick(9)
        shown.update(110)
        assert shown.images_per_second() == pytest.approx(1.0)


def test_plain_lines_appear_now_and_then_without_a_terminal(clock, capsys):
    with progress.TrainingProgress(steps=1000, start=0, batch_size=1) as shown:
        for step in range(1, 41):
            clock.tick(1)
            shown.update(step)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0] == "step 16/1000 · 1 images/s · 16 min 24 s left"
