"""What PX4 and ArduPilot say differently: the numbers of their flight modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quadfollow_core.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Dialect:
    """One autopilot's ways. Modes are the numbers of its heartbeat, ``custom_mode``."""

    name: str
    autopilot: int
    """``MAV_AUTOPILOT``."""
    offboard: int
    """The mode that flies the setpoints of a companion computer."""
    hold: int
    """The mode that stops and stays by itself, without any remote control."""
    modes: Mapping[int, str]

    def mode_name(self, mode: int) -> str:
        """A mode as its users call it."""
        return self.modes.get(mode, f"mode {mode:#x}")

    def mode_fields(self, mode: int) -> tuple[float, float]:
        """Parameters 2 and 3 of ``MAV_CMD_DO_SET_MODE``: PX4 takes main and sub mode, ArduPilot the number itself."""
        return (mode >> 16 & 0xFF, mode >> 24 & 0xFF) if self is PX4 else (mode, 0)

    def mode_from(self, main: float, sub: float) -> int:
        """The mode that two such parameters name."""
        return int(main) << 16 | int(sub) << 24 if self is PX4 else int(main)


def _px4(main: int, sub: int = 0) -> int:
    return main << 16 | sub << 24


PX4 = Dialect(
    "PX4",
    autopilot=12,
    offboard=_px4(6),
    hold=_px4(4, 3),
    modes={
        _px4(1): "Manual", _px4(2): "Altitude", _px4(3): "Position", _px4(4, 2): "Takeoff", _px4(4, 3): "Hold",
        _px4(4, 4): "Mission", _px4(4, 5): "Return", _px4(4, 6): "Land", _px4(5): "Acro", _px4(6): "Offboard",
        _px4(8): "Stabilized",
    },
)  # fmt: skip
ARDUPILOT = Dialect(
    "ArduPilot",
    autopilot=3,
    offboard=4,
    hold=17,
    modes={
        0: "Stabilize", 1: "Acro", 2: "AltHold", 3: "Auto", 4: "Guided", 5: "Loiter", 6: "RTL", 9: "Land",
        16: "PosHold", 17: "Brake", 21: "Smart RTL",
    },
)  # fmt: skip


def find_dialect(autopilot: int) -> Dialect:
    """The dialect of a heartbeat's ``autopilot``.

    Raises:
        Unavailable: it is neither PX4 nor ArduPilot.
    """
    for dialect in (PX4, ARDUPILOT):
        if dialect.autopilot == autopilot:
            return dialect
    raise Unavailable(f"the vehicle's autopilot (MAV_AUTOPILOT {autopilot}) is neither PX4 nor ArduPilot")
