"""An imitation of QuadSim for tests and for those who lack it: the same bytes, and flights after the same rules.

It speaks through real sockets and knows nothing of the server's code. What it sees comes from a
:class:`~quadfollow_sim.quadsim.imitation.scene.Scene`.
"""
