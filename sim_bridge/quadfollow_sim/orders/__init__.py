"""Orders from an operator to the pilot of a flight under way: arm, disarm, hold, resume, abort, and how it stands."""
