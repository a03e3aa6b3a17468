"""Networks by name, each a Linen module called ``module.apply(variables, x, train=False)``."""

from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.mlp import MLP
from jaxcnn.models.registry import arguments_of, create, names, register
from jaxcnn.models.resnet_cifar import CifarResNet

__all__ = ["MLP", "CifarResNet", "LeNet5", "arguments_of", "create", "names", "register"]
