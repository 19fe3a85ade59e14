"""A ROS 2 node: shows a camera's pictures to a quadfollow server, and publishes where the target is.

Run it where ROS 2 is sourced and quadfollow is installed::

    python3 ros2_node.py --ros-args -p server:=tcp://127.0.0.1:5555 -p world:=map \\
        -r image/compressed:=/camera/image_raw/compressed -r camera_info:=/camera/camera_info

Topics and parameters: docs/connect.md.
"""

import time

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String
from tf2_ros import Buffer, TransformException, TransformListener

from quadfollow_core.errors import QuadfollowError
from quadfollow_core.stream_client import StreamClient

PATIENCE = 0.1
"""Seconds that a picture waits for the camera's place: TF tells it some time after the picture comes."""
LENSES = ("", "plumb_bob", "rational_polynomial")
"""ROS's lens models that OpenCV's coefficients describe; a fisheye's are others."""


class QuadfollowNode(Node):
    """Keeps the newest picture only; a slow server sees fewer of them and never old ones."""

    def __init__(self) -> None:
        super().__init__("quadfollow")
        self.world = self.declare_parameter("world", "map").value
        self.client = StreamClient(
            self.declare_parameter("server", "tcp://127.0.0.1:5555").value, stream=self.get_name()
        )
        self.lens = None
        self.newest = None
        self.waiting = None
        self.stamps = {}
        self.transforms = Buffer()
        self.listener = TransformListener(self.transforms, self)
        self.target = self.create_publisher(PoseStamped, "target", 10)
        self.state = self.create_publisher(String, "target_state", 10)
        self.create_subscription(CameraInfo, "camera_info", self.take_lens, qos_profile_sensor_data)
        self.create_subscription(CompressedImage, "image/compressed", self.take_picture, qos_profile_sensor_data)
        self.create_timer(0.01, self.turn)

    def take_lens(self, info: CameraInfo) -> None:
        """Note the intrinsics; ROS counts pixels from their centres, quadfollow from their corners."""
        fx, _, cx, _, fy, cy = info.k[:6]
        if fx and fy and info.distortion_model in LENSES:
            self.lens = {"fx": fx, "fy": fy, "cx": cx + 0.5, "cy": cy + 0.5, "distortion": list(info.d)}
        else:
            self.lens = None
            self.warn(f"pictures go without a lens: not calibrated, or of the model {info.distortion_model!r}")

    def take_picture(self, picture: CompressedImage) -> None:
        """Keep the newest picture, beside the one that waits for the camera's place."""
        self.newest = picture, time.monotonic()

    def turn(self) -> None:
        """Offer the waiting picture when it is complete, and publish what was answered."""
        if self.waiting is None:
            self.waiting, self.newest = self.newest, None
        if self.waiting is not None:
            picture, came = self.waiting
            camera = self.camera(picture.header, last_try=time.monotonic() - came > PATIENCE)
            if camera is not None:
                self.waiting = None
                self.offer(picture, camera)
        self.publish()

    def offer(self, picture: CompressedImage, camera: dict) -> None:
        """Send a picture with what is known of its camera."""
        stamp = picture.header.stamp
        header = {"want": ["target", "track"], "captured_at": stamp.sec + 1e-9 * stamp.nanosec} | camera
        try:
            self.stamps[self.client.offer(bytes(picture.data), **header)] = stamp
        except QuadfollowError as error:
            self.warn(f"a picture cannot be sent: {error}")

    def camera(self, header, last_try: bool) -> dict | None:
        """The header's ``camera`` of a picture, with its place where TF knows it; None while that may still come."""
        if self.lens is None:
            return {}
        try:
            found = self.transforms.lookup_transform(self.world, header.frame_id, header.stamp).transform
        except TransformException as error:
            if not last_try:
                return None
            self.warn(f"pictures go without a place: {error}")
            return {"camera": self.lens}
        place, turn = found.translation, found.rotation
        pose = {"position": [place.x, place.y, place.z], "quaternion": [turn.x, turn.y, turn.z, turn.w]}
        return {"camera": self.lens | {"pose": pose}}

    def publish(self) -> None:
        """Publish what was answered: the track's state, and its place where it has one in the world."""
        for fate in self.client.poll():
            stamp = self.stamps.pop(fate.id)
            if fate.outcome in ("error", "lost"):
                self.warn(f"no answer: {fate.body.get('detail', 'the server does not answer')}")
            if fate.track is None:
                continue
            self.state.publish(String(data=fate.track.state))
            if fate.track.world is not None and fate.track.state in ("following", "coasting"):
                self.target.publish(self.message(stamp, fate.track.world))

    def warn(self, text: str) -> None:
        """Say what is amiss, not more often than can be read."""
        self.get_logger().warning(text, throttle_duration_sec=5.0)

    def message(self, stamp, place) -> PoseStamped:
        """The target's place as a message; which way she looks is not known."""
        message = PoseStamped()
        message.header.stamp, message.header.frame_id = stamp, self.world
        message.pose.position.x, message.pose.position.y, message.pose.position.z = place
        message.pose.orientation.w = 1.0
        return message


def main() -> None:
    """Spin until ROS ends it."""
    rclpy.init()
    node = QuadfollowNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.client.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
