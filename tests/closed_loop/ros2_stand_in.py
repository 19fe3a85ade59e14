"""As much of ROS 2's Python as ``examples/ros2_node.py`` uses, since ROS 2 is on no package index.

Messages are plain objects with ROS's fields; ``spin`` calls the node's subscribers and timers as an executor would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

Message = SimpleNamespace


class TransformException(Exception):
    """tf2's error for what it does not know."""


class Buffer:
    """tf2's memory, of one camera that stands still; ``known`` is None before it was heard of."""

    known: Message | None = None

    def lookup_transform(self, target: str, source: str, when: object) -> Message:
        """The camera's place in the world."""
        if self.known is None or (target, source) != ("map", "camera_optical"):
            raise TransformException(f"{source} is not known in {target}")
        return self.known


class Logger:
    """Takes what a node says."""

    said: list[str] = []  # noqa: RUF012 (one for the process)

    def warning(self, text: str, *, throttle_duration_sec: float) -> None:
        """Note it."""
        self.said.append(text)


class Node:
    """A node whose topics are lists."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.subscribers: dict[str, Callable[[Any], None]] = {}
        self.published: dict[str, list[Any]] = {}
        self.timers: list[Callable[[], None]] = []

    def get_name(self) -> str:
        """The node's name."""
        return self._name

    def get_logger(self) -> Logger:
        """Where it speaks."""
        return Logger()

    def declare_parameter(self, name: str, default: object) -> Message:
        """The parameter as the test set it."""
        return Message(value=parameters.get(name, default))

    def create_publisher(self, kind: type, topic: str, depth: int) -> Message:
        """Published messages end in a list."""
        return Message(publish=self.published.setdefault(topic, []).append)

    def create_subscription(self, kind: type, topic: str, heard: Callable[[Any], None], qos: object) -> None:
        """Note who listens."""
        self.subscribers[topic] = heard

    def create_timer(self, seconds: float, called: Callable[[], None]) -> None:
        """Note what is to be called."""
        self.timers.append(called)

    def destroy_node(self) -> None:
        """Nothing to give back."""


parameters: dict[str, object] = {}
script: Iterator[tuple[str, Message]] = iter(())
nodes: list[Node] = []


def spin(node: Node) -> None:
    """Let the node hear the script's messages, and run its timers until every picture that is one was answered."""
    nodes.append(node)
    pictures = 0
    for topic, message in script:
        node.subscribers[topic](message)
        pictures += topic == "image/compressed" and len(message.data) > 0
        end = time.monotonic() + 120
        while True:
            for called in node.timers:
                called()
            if len(node.published["target_state"]) >= pictures or time.monotonic() > end:
                break


def pose_stamped() -> Message:
    """An empty geometry_msgs/PoseStamped."""
    header = Message(stamp=None, frame_id="")
    return Message(header=header, pose=Message(position=Message(), orientation=Message()))


def install(setitem: Callable[[Any, str, ModuleType], None]) -> None:
    """Put the modules where imports find them."""
    modules = {
        "rclpy": {"init": lambda: None, "spin": spin, "try_shutdown": lambda: None},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": object()},
        "geometry_msgs.msg": {"PoseStamped": pose_stamped},
        "sensor_msgs.msg": {"CameraInfo": Message, "CompressedImage": Message},
        "std_msgs.msg": {"String": Message},
        "tf2_ros": {
            "Buffer": Buffer,
            "TransformException": TransformException,
            "TransformListener": lambda *_: object(),
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        setitem(sys.modules, name, module)
