"""A ROS 2 node: shows a camera's pictures to a quadfollow server, and publishes where the target is.

Run it where ROS 2 is sourced and quadfollow is installed::

    python3 ros2_node.py --ros-args -p server:=tcp://127.0.0.1:5555 -p world:=map \\
        -r image/compressed:=/camera/image_raw/compressed -r camera_info:=/camera/camera_info

Topics and parameters: docs/connect.md.
"""

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String
from tf2_ros import Buffer, TransformException, TransformListener

from quadfollow_core.stream_client import StreamClient


class QuadfollowNode(Node):
    """Keeps the newest picture only; a slow server sees fewer of them and never old ones."""

    def __init__(self) -> None:
        super().__init__("quadfollow")
        self.world = self.declare_parameter("world", "map").value
        self.client = StreamClient(
            self.declare_parameter("server", "tcp://127.0.0.1:5555").value, stream=self.get_name()
        )
        self.lens = None
        self.stamps = {}
        self.transforms = Buffer()
        self.listener = TransformListener(self.transforms, self)
        self.target = self.create_publisher(PoseStamped, "target", 10)
        self.state = self.create_publisher(String, "target_state", 10)
        self.create_subscription(CameraInfo, "camera_info", self.take_lens, qos_profile_sensor_data)
        self.create_subscription(CompressedImage, "image/compressed", self.take_picture, qos_profile_sensor_data)
        self.create_timer(0.01, self.publish)

    def take_lens(self, info: CameraInfo) -> None:
        """Note the intrinsics; ROS counts pixels from their centres, quadfollow from their corners."""
        fx, _, cx, _, fy, cy = info.k[:6]
        self.lens = {"fx": fx, "fy": fy, "cx": cx + 0.5, "cy": cy + 0.5, "distortion": list(info.d)}

    def take_picture(self, picture: CompressedImage) -> None:
        """Offer a picture, with the lens and, where it is known, the camera's place."""
        stamp = picture.header.stamp
        header = {"want": ["target", "track"], "captured_at": stamp.sec + 1e-9 * stamp.nanosec}
        if self.lens is not None:
            header["camera"] = self.lens | self.pose(picture.header)
        self.stamps[self.client.offer(bytes(picture.data), **header)] = stamp

    def pose(self, header) -> dict:
        """The place of the camera's optical frame in the world at a picture's time; empty where TF does not know it."""
        try:
            found = self.transforms.lookup_transform(self.world, header.frame_id, header.stamp).transform
        except TransformException as error:
            self.get_logger().warning(f"pictures go without a place: {error}", throttle_duration_sec=5.0)
            return {}
        place, turn = found.translation, found.rotation
        return {"pose": {"position": [place.x, place.y, place.z], "quaternion": [turn.x, turn.y, turn.z, turn.w]}}

    def publish(self) -> None:
        """Publish what was answered: the track's state, and its place where it has one in the world."""
        for fate in self.client.poll():
            stamp = self.stamps.pop(fate.id)
            if fate.track is None:
                continue
            self.state.publish(String(data=fate.track.state))
            if fate.track.world is not None and fate.track.state in ("following", "coasting"):
                self.target.publish(self.message(stamp, fate.track.world))

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
