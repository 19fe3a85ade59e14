"""QuadSim, Udacity's quadcopter simulator of 2017, as a world: it connects to us, shows frames, and takes points.

All of QuadSim's own habits (degrees, opposite signs, number formats, depth as shares of a far plane, the word
*hero*) end at this package's edge; what leaves it is a :class:`quadfollow_sim.world.Observation`.
"""
