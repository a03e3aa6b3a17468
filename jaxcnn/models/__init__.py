"""Networks by name, each a Linen module called ``module.apply(variables, x, train=False)``."""

from jaxcnn.models.alexnet import AlexNet
from jaxcnn.models.all_conv import AllConv
from jaxcnn.models.convnext import ConvNeXt
from jaxcnn.models.densenet import DenseNet
from jaxcnn.models.googlenet import GoogLeNet
from jaxcnn.models.inception import InceptionV3
from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.mlp import MLP, MatchedMLP
from jaxcnn.models.mobilenet import MobileNetV2
from jaxcnn.models.network import Network
from jaxcnn.models.registry import arguments_of, create, names, register
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.resnet_cifar import CifarResNet
from jaxcnn.models.torch_weights import load_torch, save_torch, torch_state
from jaxcnn.models.vgg import VGG
from jaxcnn.models.xception import Xception

__all__ = [
    "MLP",
    "VGG",
    "AlexNet",
    "AllConv",
    "CifarResNet",
    "ConvNeXt",
    "DenseNet",
    "GoogLeNet",
    "InceptionV3",
    "LeNet5",
    "MatchedMLP",
    "MobileNetV2",
    "Network",
    "ResNet",
    "Xception",
    "arguments_of",
    "create",
    "load_torch",
    "names",
    "register",
    "save_torch",
    "torch_state",
]
