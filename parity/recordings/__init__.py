"""Networks on two machines: recording each where its framework is, and comparing the recordings."""
