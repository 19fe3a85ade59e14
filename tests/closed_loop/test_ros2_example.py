"""The ROS 2 node, run against a stand-in of ROS and a real server."""

from __future__ import annotations

import math
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from types import SimpleNamespace as Message

import pytest
from tests.closed_loop import ros2_stand_in as ros

from quadfollow_core.geometry import Camera
from quadfollow_core.request import camera_header
from quadfollow_server.running import RunningServer
from quadfollow_sim.drawn import DrawnSource
from quadfollow_sim.world import Observation

NODE = Path(__file__).parents[2] / "examples" / "ros2_node.py"


@pytest.fixture
def walk() -> list[Observation]:
    """Some pictures of the walk from one place, in which she is near."""
    return [one for one in iter(DrawnSource(1.0, rate=10, with_depth=False).read, None) if one.camera is not None]


def camera_info(camera: Camera) -> Message:
    """A sensor_msgs/CameraInfo, whose pixels are counted from their centres."""
    lens = camera.intrinsics
    k = [lens.fx, 0.0, lens.cx - 0.5, 0.0, lens.fy, lens.cy - 0.5, 0.0, 0.0, 1.0]
    return Message(k=k, d=[], distortion_model="plumb_bob")


def transform(camera: Camera) -> Message:
    """A geometry_msgs/TransformStamped of the camera in the world."""
    pose = camera_header(camera)["pose"]
    (x, y, z), (i, j, k, w) = pose["position"], pose["quaternion"]
    return Message(transform=Message(translation=Message(x=x, y=y, z=z), rotation=Message(x=i, y=j, z=k, w=w)))


def picture(observation: Observation, number: int) -> tuple[str, Message]:
    """A sensor_msgs/CompressedImage."""
    header = Message(
        stamp=Message(sec=100 + number // 10, nanosec=number % 10 * 100_000_000), frame_id="camera_optical"
    )
    return "image/compressed", Message(header=header, data=memoryview(observation.image))  # type: ignore[arg-type]


def run(
    monkeypatch: pytest.MonkeyPatch,
    server: RunningServer,
    walk: list[Observation],
    known: bool,
    first: Sequence[tuple[str, Message]] = (),
    lens: Mapping[str, object] = MappingProxyType({}),
) -> ros.Node:
    """Run the node over some messages and the pictures, as from the command line; ``lens`` alters each CameraInfo."""
    ros.install(lambda modules, name, module: monkeypatch.setitem(modules, name, module))
    monkeypatch.setitem(ros.parameters, "server", server.address)
    monkeypatch.setattr(ros.Logger, "said", [])

    def script():  # type: ignore[no-untyped-def]
        yield from first
        for number, observation in enumerate(walk):
            assert observation.camera is not None
            monkeypatch.setattr(ros.Buffer, "known", transform(observation.camera) if known else None)
            yield "camera_info", Message(**(vars(camera_info(observation.camera)) | lens))
            yield picture(observation, number)

    monkeypatch.setattr(ros, "script", script())
    runpy.run_path(str(NODE), run_name="__main__")
    return ros.nodes.pop()


def test_the_target_is_published_in_the_world(
    colour_server: RunningServer, walk: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each picture's state comes back, and once she is followed her place, with the picture's stamp."""
    node = run(monkeypatch, colour_server, walk, known=True)
    assert len(node.published["target_state"]) == len(walk)
    assert node.published["target_state"][-1].data == "following"
    last = node.published["target"][-1]
    assert last.header.frame_id == "map"
    assert (last.header.stamp.sec, last.header.stamp.nanosec) == (100, 900_000_000)
    place, truth = last.pose.position, walk[-1].target
    assert truth is not None
    assert math.hypot(place.x - truth[0], place.y - truth[1]) < 1.5


def test_without_a_place_of_the_camera_none_of_the_target_is_published(
    colour_server: RunningServer, walk: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states come all the same, and a warning says why."""
    node = run(monkeypatch, colour_server, walk, known=False)
    assert node.published["target_state"][-1].data == "following"
    assert node.published["target"] == []
    assert "camera_optical is not known in map" in ros.Logger.said[0]


def test_a_picture_that_is_none_does_not_end_the_node(
    colour_server: RunningServer, walk: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and the next one is answered."""
    topic, bad = picture(walk[0], 0)
    bad.data = b""
    node = run(monkeypatch, colour_server, walk, known=True, first=[(topic, bad)])
    assert node.published["target_state"][-1].data == "following"
    assert any("cannot be sent" in text for text in ros.Logger.said)


@pytest.mark.parametrize(
    ("lens", "why"), [({"k": [0.0] * 9}, "not calibrated"), ({"distortion_model": "equidistant"}, "equidistant")]
)
def test_a_lens_that_opencv_does_not_describe_is_not_sent(
    colour_server: RunningServer,
    walk: list[Observation],
    monkeypatch: pytest.MonkeyPatch,
    lens: dict[str, object],
    why: str,
) -> None:
    """Pictures of an uncalibrated camera, or of a fisheye, are answered without places; a warning says why."""
    node = run(monkeypatch, colour_server, walk, known=True, lens=lens)
    assert node.published["target_state"][-1].data == "following"
    assert node.published["target"] == []
    assert why in ros.Logger.said[0]
