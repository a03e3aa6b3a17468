"""Networks by name, each a Linen module called ``module.apply(variables, x, train=False)``."""

from jaxcnn.models.convnext import ConvNeXt
from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.mlp import MLP
from jaxcnn.models.mobilenet import MobileNetV2
from jaxcnn.models.network import Network
from jaxcnn.models.registry import arguments_of, create, names, register
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.resnet_cifar import CifarResNet
from jaxcnn.models.torch_weights import load_torch, save_torch, torch_state

__all__ = [
    "MLP",
    "CifarResNet",
    "ConvNeXt",
    "LeNet5",
    "MobileNetV2",
    "Network",
    "ResNet",
    "arguments_of",
    "create",
    "load_torch",
    "names",
    "register",
    "save_torch",
    "torch_state",
]
