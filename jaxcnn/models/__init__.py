"""Networks by name, each a Linen module called ``module.apply(variables, x, train=False)``."""

from jaxcnn.models.alexnet import AlexNet
from jaxcnn.models.all_conv import AllConv
from jaxcnn.models.capsnet import CapsNet
from jaxcnn.models.convnext import ConvNeXt
from jaxcnn.models.densenet import DenseNet
from jaxcnn.models.efficientnet import EfficientNet
from jaxcnn.models.fcn import FCN
from jaxcnn.models.googlenet import GoogLeNet
from jaxcnn.models.inception import InceptionV3
from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.mlp import MLP, MatchedMLP
from jaxcnn.models.mobilenet import MobileNetV2
from jaxcnn.models.mobilenet_v1 import MobileNetV1
from jaxcnn.models.mobilenet_v3 import MobileNetV3
from jaxcnn.models.network import Network
from jaxcnn.models.r3d import R3D
from jaxcnn.models.registry import arguments_of, create, names, register
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.resnet_cifar import CifarResNet
from jaxcnn.models.shufflenet import ShuffleNetV2
from jaxcnn.models.tcn import TCN
from jaxcnn.models.textcnn import TextCNN
from jaxcnn.models.torch_compare import Comparison, compare
from jaxcnn.models.torch_weights import load_torch, save_torch, torch_state
from jaxcnn.models.unet import UNet
from jaxcnn.models.vgg import VGG
from jaxcnn.models.xception import Xception

__all__ = [
    "FCN",
    "MLP",
    "R3D",
    "TCN",
    "VGG",
    "AlexNet",
    "AllConv",
    "CapsNet",
    "CifarResNet",
    "Comparison",
    "ConvNeXt",
    "DenseNet",
    "EfficientNet",
    "GoogLeNet",
    "InceptionV3",
    "LeNet5",
    "MatchedMLP",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "Network",
    "ResNet",
    "ShuffleNetV2",
    "TextCNN",
    "UNet",
    "Xception",
    "arguments_of",
    "compare",
    "create",
    "load_torch",
    "names",
    "register",
    "save_torch",
    "torch_state",
]
