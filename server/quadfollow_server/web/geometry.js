// Cameras in the project's frames: world x east, y north, z up; camera x right, y down, z forward.

const NEAR = 0.5; // metres before the camera from which on a point is drawn

// A vector turned by a unit quaternion [x, y, z, w].
export function turn([x, y, z, w], [a, b, c]) {
  const [p, q, r] = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
  return [a + w * p + y * r - z * q, b + w * q + z * p - x * r, c + w * r + x * q - y * p];
}

// Where a camera looks on the map: its optical axis, world x and y.
export function heading(pose) {
  const [x, y] = turn(pose.quaternion, [0, 0, 1]);
  return Math.atan2(y, x);
}

// The pixel of a world point, null behind or at the camera; lens distortion is left out.
export function project(camera, point) {
  const { position, quaternion } = camera.pose;
  const [i, j, k, w] = quaternion;
  const [x, y, z] = turn([-i, -j, -k, w], point.map((value, axis) => value - position[axis]));
  const { fx, fy, cx, cy } = camera;
  return z > NEAR ? [cx + (fx * x) / z, cy + (fy * y) / z] : null;
}

export const distance = (a, b) => Math.hypot(...a.map((value, axis) => value - b[axis]));
