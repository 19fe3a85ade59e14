"""The study: what each part of the network and of its training is worth, measured at one small budget of pixels."""
