"""What is said of networks and layers, checked against arithmetic and torch's rules."""

import re

import flax.linen as linen
import jax
import pytest

from jaxcnn import nn
from jaxcnn.analysis import describing, listing, trace
from jaxcnn.errors import UserError


def facts(text):
    """The lines under the title, by name, without those about programs that are kept."""
    lines = (line for line in text.splitlines()[1:] if not line.startswith(" "))
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines)


def explain(op, sizes, **options):
    return facts(describing.operation(op, sizes, options))


def rows(text):
    """The cells of a table's rows that are not empty, by layer and operation."""
    cells = [re.split(r"\s{2,}", line) for line in text.splitlines()]
    return {(name, operation): rest for name, operation, *rest in (row for row in cells if len(row) > 5)}


def test_a_network_is_a_table():
    text = describing.network("resnet8(num_filters=4)", (16, 16, 3), 7)
    found = rows(text)
    assert found["stem/conv", "conv 3×3"] == ["16×16×4", "108", "27.6 k", "4.00 KiB", "3", "1", "-1"]
    # two 3×3 at jump 1, then a strided and a plain one: 7 + 2 + 4
    assert found["stage2_block1", "add"] == ["8×8×8", "2.00 KiB", "13", "2", "-6"]
    assert found["head/dense", "dense"] == ["7", "119", "112", "28 B", "all"]
    assert "stage2_block1 (slice /2) never reads 192 of its 256 pixels" in text
    assert "fully connected layers hold 2.4% of the parameters" in text
    assert max(map(len, text.splitlines())) <= 120


def test_total_parameters_of_lenet():
    text = describing.network("lenet5", (32, 32, 1))
    assert "61,706" in next(line for line in text.splitlines() if line.startswith("total"))


def test_words_are_places_whose_vectors_see_them_alone():
    text = describing.network("textcnn(vocabulary=50, embedding=8, num_filters=4)", (20,))
    found = rows(text)
    assert found["embed", "gather"] == ["20×8", "400", "640 B", "1", "1", "0"]
    # five words of eight numbers and a bias for each feature; 16 windows fit
    assert found["width5/conv", "conv 5"] == ["16×4", "164", "2.56 k", "256 B", "5", "1", "0"]
    assert re.search(r"^max5 +max +4 +16 B +all$", text, re.MULTILINE)
    assert "not all is known" not in text


def test_what_is_not_known_is_said_once_for_each_reason():
    """A deformable layer and all behind it."""
    text = describing.network("resnet8(num_filters=2, conv='deform')", (12, 12, 3))
    said = [line for line in text.splitlines() if "not all is known" in line]
    assert len(said) == 1
    assert re.fullmatch(r"stem/conv and \d+ more rows: not all is known: gather where data says", said[0])


def test_a_deformable_convolution_is_one_layer():
    """Its kernel times its samples, and the convolution that finds the offsets and the mask."""
    text = describing.network("resnet8(num_filters=2, conv='deform')", (12, 12, 3))
    (row,) = (line.split() for line in text.splitlines() if "deform conv" in line and line.startswith("stem"))
    macs = 12 * 12 * 9 * 3 * 2
    said = f"stem/conv deform conv 12×12×2 54 {macs / 1e3:.2f} k 1.12 KiB ?"
    assert row == said.split()
    assert "max pool" not in text


def test_a_module_of_that_name_is_what_it_does():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return nn.DeformConv(2, 3, name="deform_conv")(linen.Dense(3, name="ops_deform_conv")(x))

    net, x = Net(), jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    found = trace(net.apply, jax.eval_shape(net.init, jax.random.key(0), x), x)
    operations = {layer.name: layer.operation for layer in found.layers if layer.parameters}
    assert operations == {
        "ops_deform_conv": "dense",
        "deform_conv/offset": "conv 3×3",
        "deform_conv": "deform conv",
    }


def test_two_networks_side_by_side():
    text = describing.networks("lenet5(num_classes=3), resnet8(num_filters=4)", (32, 32, 1))
    lines = text.splitlines()
    assert lines[0].split() == ["lenet5(num_classes=3)", "resnet8(num_filters=4)", "ratio"]
    assert next(line for line in lines if line.startswith("widest field")).split() == [
        "widest",
        "field",
        "32",
        "25",
    ]
    assert any(re.search(r"c1 .*\|  stem/conv", line) for line in lines)


def test_a_depthwise_layer():
    said = explain("conv", (8, 56, 56, 128), kernel="3", groups=128)
    assert said["output"] == "8×56×56×128"
    assert said["parameters"] == "1,280 (kernel 3×3×1×128, bias 128)"
    assert said["multiply-accumulates"] == f"{8 * 56 * 56 * 128 * 9 / 1e6:.1f} M, 3.61 M an example"
    assert said["receptive field"] == "3 pixels along each axis, from -1, every 1"
    assert said["never read"] == "no pixel"
    assert said["kernel gradient"]


@pytest.mark.parametrize("missing", [None, "another processor"])
def test_how_a_layer_is_computed_here_and_elsewhere(monkeypatch, missing):
    monkeypatch.setattr("jaxcnn.ops.lowering.onednn.missing", lambda: missing)
    text = describing.operation("conv", (8, 56, 56, 128), {"kernel": "3", "groups": 128})
    assert re.findall("^(?:computed by|  kept or exported) +([a-z]+), ", text, re.MULTILINE) == (
        ["shift"] if missing else ["onednn", "shift", "shift", "shift"]
    )


def test_how_a_layer_is_computed_on_another_platform_or_by_another_lowering():
    said = explain("conv", (8, 56, 56, 128), groups=128, platform="cuda", lowering="shift")
    assert said["computed by"] == said["input gradient"] == said["kernel gradient"] == "shift, asked for"
    said = explain("conv", (8, 56, 56, 128), groups=128, dilation="2", platform="cuda")
    assert said["kernel gradient"].startswith("shift, ")


def test_a_lossy_stride_is_counted():
    assert explain("conv", (1, 7, 7, 1), strides="3", padding="valid")["never read"] == "13 of 49 pixels"
    assert explain("max_pool", (2, 57, 57, 3), kernel="2")["never read"] == "113 of 3,249 pixels"


def test_causal_dilation():
    said = explain("conv", (2, 100, 8), dilation="4", padding="causal", features=16)
    assert said["receptive field"].startswith("9 pixels along each axis, from -8,")
    assert said["output"] == "2×100×16"


def test_enlarging():
    said = explain("conv_transpose", (2, 14, 14, 8), kernel="4", strides="2", features=4)
    assert said["output"] == "2×28×28×4"
    assert said["receptive field"].startswith("2 pixels along each axis, from -1, every 1/2")


@pytest.mark.parametrize(
    ("op", "sizes", "options", "message"),
    [
        ("conf", (8, 8, 8, 2), {}, "--op='conf' is unknown; did you mean conv?"),
        ("conv", (8, 8), {}, "--input=8,8: expected examples, one to three spatial axes, channels"),
        ("conv", (8, 8, 8, 3), {"groups": 2}, "--op=conv: groups=2: expected a divisor of the 3 channels"),
        (
            "conv",
            (8, 8, 8, 3),
            {"padding": "sane"},
            "--op=conv: padding='SANE' is not known; did you mean SAME",
        ),
        ("conv", (8, 8, 8, 3), {"strides": "0"}, "--strides='0': expected whole numbers above 0"),
        ("conv", (8, 8, 8, 3), {"kernel": "3,3,3"}, "--op=conv: kernel=(3, 3, 3): expected an int or 2 ints"),
        (
            "conv",
            (8, 2, 2, 3),
            {"padding": "VALID"},
            "--op=conv: a kernel of 3 with dilation 1 spans 3 pixels",
        ),
        (
            "conv",
            (8, 8, 8, 3),
            {"platform": "gpu"},
            "--op=conv: platform='gpu' is not known; expected one of cpu, cuda, rocm, tpu",
        ),
        (
            "conv",
            (8, 8, 8, 3),
            {"lowering": "winogard"},
            "--op=conv: lowering='winogard' is not known; did you mean winograd?",
        ),
        (
            "max_pool",
            (8, 8, 8, 3),
            {"lowering": "dot"},
            "--lowering says nothing of --op=max_pool, only of conv; leave it out",
        ),
        ("max_pool", (8, 8, 8, 3), {"groups": 3}, "--op=max_pool: pooling has neither groups nor features"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(op, sizes, options, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        describing.operation(op, sizes, options)
    assert "\n" not in str(caught.value)


def test_networks_that_cannot_be():
    with pytest.raises(UserError, match="model 'resnet2O' is unknown"):
        describing.network("resnet2O", (32, 32, 3))
    with pytest.raises(UserError, match=r"lenet5 does not take --input=3: x has shape \(1, 3\)"):
        describing.network("lenet5", (3,))
    with pytest.raises(UserError, match="inputs of 28,28,1 and of 224,224,3; choose by --input"):
        describing.networks("lenet5, resnet18")
    with pytest.raises(UserError, match=r"names 1 networks: expected two, e\.g\. resnet20,resnet32"):
        describing.networks("mlp", (8, 8, 1))
    with pytest.raises(UserError, match="--input='3x3': expected whole numbers above 0"):
        describing.whole_numbers("input", "3x3")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9999, "10.0 k"), (999_600, "1.00 M"), (None, "?")],
)
def test_numbers_have_three_digits(value, text):
    assert listing.number(value) == text
