"""The gates, in the order of the reproduction guide's alignment points."""

from __future__ import annotations

from parity.certify.gate import Gate
from parity.certify.gates import (
    backward,
    data,
    devices,
    evaluation,
    export,
    forward,
    initialisation,
    loss,
    optimiser,
    training,
    weights,
)

GATES: dict[str, Gate] = {
    gate.name: gate
    for gate in (
        Gate(
            name="weights",
            description="one tensor for each, and a bit-exact way back",
            run=weights.run,
            exercises=("network", "weights"),
        ),
        Gate(
            name="forward",
            description="every layer in evaluation mode, isolated and free-running",
            run=forward.run,
            exercises=("network",),
            seconds=25,
        ),
        Gate(
            name="validation data",
            description="what both networks are shown",
            run=evaluation.validation_data,
            exercises=("preprocessing",),
        ),
        Gate(
            name="metric",
            description="confusion matrices and mIoU",
            run=evaluation.metric,
            exercises=("network", "metric"),
            seconds=6,
        ),
        Gate(
            name="loss", description="cross-entropy and OHEM, with their gradients", run=loss.run, exercises=("loss",)
        ),
        Gate(name="optimiser", description="updates by momentum", run=optimiser.optimiser, exercises=("optimiser",)),
        Gate(
            name="learning rate",
            description="the rate of every step",
            run=optimiser.learning_rate,
            exercises=("schedule",),
        ),
        Gate(
            name="regularisation",
            description="what decays, and by how much",
            run=optimiser.regularisation,
            exercises=("regularisation",),
        ),
        Gate(
            name="backward",
            description="train mode, dropout and gradients, layer by layer",
            run=backward.run,
            exercises=("network",),
            seconds=12,
        ),
        Gate(
            name="training data",
            description="augmented batches from one random stream",
            run=data.run,
            exercises=("loader",),
            seconds=8,
        ),
        Gate(
            name="initialisation",
            description="distributions of fresh parameters",
            run=initialisation.run,
            exercises=("initialiser",),
        ),
        Gate(
            name="training",
            description="steps from one state, and trajectories",
            run=training.run,
            exercises=("network", "loss", "optimiser", "schedule"),
            seconds=15,
        ),
        Gate(
            name="several devices",
            description="two processes are one",
            run=devices.run,
            exercises=("network",),
            seconds=20,
        ),
        Gate(
            name="export chain",
            description="saved, reloaded, Paddle Inference",
            run=export.run,
            exercises=("network", "export"),
            seconds=20,
        ),
    )
}
