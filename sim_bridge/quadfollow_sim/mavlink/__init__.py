"""MAVLink: follow commands out to PX4 and ArduPilot, their telemetry in; and a vehicle that answers like one.

North, east, down and degrees stay inside this package.
"""
