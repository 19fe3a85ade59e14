"""How quiet a machine was while something was measured."""

from __future__ import annotations

from measuring.machine import Look, shares, watching


def test_others_are_who_is_busy_and_not_ours() -> None:
    """Of 20 s of two cores 12 were busy, 10 of them ours; one the host withheld."""
    looks = [Look(100.0, 50.0, 3.0, 7.0), Look(110.0, 57.0, 3.5, 12.0), Look(120.0, 62.0, 4.0, 17.0)]
    assert shares(looks) == {"others": 0.1, "stolen": 0.05}


def test_a_process_that_is_gone_takes_its_time_along() -> None:
    """A clock of ours that falls is one that ended unheard of: it counts as nothing, and never against others' time."""
    looks = [Look(0.0, 0.0, 0.0, 90.0), Look(10.0, 5.0, 0.0, 40.0), Look(20.0, 10.0, 0.0, 45.0)]
    assert shares(looks) == {"others": 0.25, "stolen": 0.0}


def test_the_shares_are_there_once_the_block_has_ended() -> None:
    """They lie between nothing and the whole machine."""
    with watching() as meanwhile:
        assert meanwhile == {}
        sum(range(1_000_000))
    assert set(meanwhile) == {"others", "stolen"}
    assert all(0 <= share <= 1 for share in meanwhile.values())
