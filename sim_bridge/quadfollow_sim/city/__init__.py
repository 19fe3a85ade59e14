"""An embedded city: a procedural world with a flying quadrotor, walking people and a camera, in MuJoCo.

World frame: x east, y north, z up, metres; paving lies at z = 0, roads 12 cm lower. All of it is made by this
package's own code from a preset and a seed, and the same seed gives the same world.
"""
