"""What every part of quadfollow shares: types, geometry, codecs, the model contract, the wire, the score."""
