"""One server on many machines, by Ray Serve: ``serve run quadfollow_server.scale:app``.

Ray starts, places, replaces and scales the replicas, each of which is the same engine with the same HTTP routes.
Streams over ZeroMQ come in through one gateway, which gives each of them to one replica and speaks the same wire on
both sides.
"""

from quadfollow_server.scale.deployment import app

__all__ = ["app"]
