"""Training steps of a twin: stochastic gradient descent by a `training.Recipe`."""

from __future__ import annotations

from collections.abc import Callable

from paddle import Tensor, nn
from paddle.optimizer import Momentum
from paddle.optimizer.lr import PolynomialDecay

from recipe.recipe import Recipe

Criterion = Callable[[tuple[Tensor, Tensor], Tensor], Tensor]


class Trainer:
    """A network, its criterion and its optimiser; each `step` is one update."""

    def __init__(self, model: nn.Layer, criterion: Criterion, recipe: Recipe) -> None:
        self.model, self.criterion, self.recipe = model, criterion, recipe
        parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
        self.schedule = PolynomialDecay(recipe.base_rate, recipe.steps, recipe.end_rate, recipe.power)
        self.optimiser = Momentum(
            self.schedule, recipe.momentum, parameters=parameters, weight_decay=recipe.weight_decay
        )

    @property
    def rate(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimiser.get_lr())

    def step(self, images: Tensor, labels: Tensor) -> float:
        """One update on images (N, 3, H, W) and labels (N, H, W); returns the loss before it."""
        self.optimiser.clear_grad()
        loss = self.backward(images, labels)
        self.update()
        return loss

    def backward(self, images: Tensor, labels: Tensor) -> float:
        """The loss; its gradients are added to those that the parameters have."""
        loss = self.criterion(self.model(images), labels)
        loss.backward()
        return float(loss.detach())

    def update(self) -> None:
        """Change the parameters by their gradients, and go on to the next learning rate."""
        self.optimiser.step()
        self.schedule.step()
