"""Both twins side by side: weights, stand-ins for them, the networks loaded, tensors from one to the other."""
