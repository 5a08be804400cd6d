"""Layer arithmetic: output shapes, parameters, cost and receptive field of a stack of layers, without torch."""
