"""Every limit of the certificate, with its reason."""

from __future__ import annotations

EXACT, EXACT_REASON = 0.0, "integers and copied bits leave no room for rounding"

LOSS, LOSS_REASON = 1e-12, "relative, float64: both frameworks sum the same terms; EPS in a denominator is 1e-8"

GRADIENT = 1e-9
GRADIENT_REASON = "on the scale of the layer's gradients, float64: rounding is about 1e-12, a wrong rule far above"

ISOLATED_GRADIENT = 1e-10
ISOLATED_GRADIENT_REASON = "on the scale of the layer's gradients, float64, one layer from equal inputs"

STATISTIC = 1e-6
STATISTIC_REASON = "relative, float64: momentum may be kept as a float32; a biased variance is off by 1 / (n - 1)"

TRAJECTORY = (1e-12, 1e-10, 1e-8, 1e-6, 1e-3)
TRAJECTORY_REASON = "relative, float64: a trajectory amplifies differences up to 100-fold a step"

STEP, STEP_REASON = 1e-8, "relative, float64, each step from the reference's state: the rate may be kept as a float32"

UPDATE = 1e-6
UPDATE_REASON = "on the scale of the update: rate and momentum may be kept as float32, which is 6e-8"

RATE, RATE_REASON = 1e-12, "of the base rate: one step late is 1e-5 of it"

DISTRIBUTION = 6.0
DISTRIBUTION_REASON = "standard errors, fixed seed: chance reaches it once in 1e9 figures"

DIVERGENCE = 16.0
DIVERGENCE_REASON = "over the reference's own distance between float32 and float64: rounding is amplified alike in both"

FLOAT32_EXPORT = 16.0
FLOAT32_EXPORT_REASON = "distance from the float64 truth over that of the eager float32 network: ordinary rounding"

DEVICES = 1e-9
DEVICES_REASON = "relative, float64: only the order of sums differs between one process and two"

SINGLE_LOSS = 1e-5
SINGLE_LOSS_REASON = "relative: the port's loss is computed in float32, whatever it is given"

SINGLE_METRIC, SINGLE_METRIC_REASON = 1e-6, "relative: shares of counted pixels, which may be kept as float32"

VALUE, VALUE_REASON = 1e-6, "of the greatest value: another order of operations in float32"

INFERENCE = 1e-6
INFERENCE_REASON = (
    "of the greatest logit, one stand-in network on both sides: Paddle keeps positions of a resize as float32"
)
