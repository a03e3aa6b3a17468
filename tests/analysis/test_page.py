"""The page: well formed, self-contained, escaped, described for those who cannot see it."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jaxcnn.analysis import Layer, Trace, page, run_page
from jaxcnn.analysis.layers import layer_table
from jaxcnn.errors import UserError

VOID = {"meta", "img", "br"}
EVIL = "<script>alert(1)</script>\"'&"


class Checker(HTMLParser):
    """Fails on elements that do not nest; keeps what was seen."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def whole_page(classes=10, size=8, channels=1, examples=200, layers=20, evil=""):
    """A page of every section, from numbers made up here."""
    rng = np.random.default_rng(0)
    names = [f"class {i}{evil}" for i in range(classes)]
    labels = rng.integers(0, classes, examples)
    probabilities = rng.dirichlet(np.full(classes, 0.1), examples)
    predictions = probabilities.argmax(1)
    images = rng.integers(0, 256, (12, size, size, channels)).astype(np.uint8)
    rows = [
        {"step": s, "epoch": s / 10, "split": split, "loss": 1 / s, "accuracy": 1 - 1 / s}
        for s in range(1, 50)
        for split in ("train", "validation")
    ]
    maps = {f"part{i}{evil}": rng.normal(size=(size, size, 64)) for i in range(6)}
    layer = Layer("", "conv 3×3", (1, 8, 8, 4), 144, 9216, 1024, (), 0, 0, ())
    many = tuple(layer._replace(name=f"layer{i}{evil}") for i in range(layers))
    found = Trace(many, (), (1, 8, 8, 4), (1, 2), 144 * layers, 0, 9216 * layers, 0, 0, ())
    return page.document(
        f"model{evil}",
        run_page.header(
            f"model{evil}",
            f"runs/{evil}",
            run_page.score(180, 200, "test"),
            [("Seed", 0), ("None", None)],
            warning=evil,
        ),
        run_page.learning(rows, 30),
        run_page.confusion(labels, predictions, names, "test"),
        run_page.worst(images, labels[:12], probabilities[:12], names, wrong=40),
        run_page.filters(f"stem{evil}", rng.normal(size=(7, 7, channels, 64))),
        run_page.feature_maps(images[0], names[0], maps),
        layer_table(found, most=60),
        run_page.again(
            [("Again", f"python {evil}")], f"--model={evil}", {"device": evil, "packages": {"jax": evil}}
        ),
    )


@pytest.mark.parametrize("classes", [2, 10, 30, 1000])
def test_the_page_nests_and_needs_nothing_from_outside(classes):
    text = whole_page(classes)
    checker = Checker(text)
    assert not checker.all("script")
    assert not checker.all("link")
    assert "http" not in text
    assert "@import" not in text
    assert all(image["src"].startswith("data:image/png;base64,") for image in checker.all("img"))
    ids = [attributes["id"] for _, attributes in checker.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_what_a_person_wrote_is_text_everywhere():
    text = whole_page(evil=EVIL)
    checker = Checker(text)
    assert not checker.all("script")
    assert text.count("<script") == 0
    assert "".join(checker.texts).count(EVIL) > 30
    assert any(EVIL in attributes.get("alt", "") for attributes in checker.all("img"))


def test_the_page_is_described_for_those_who_cannot_see_it():
    checker = Checker(whole_page())
    roles = [attributes for _, attributes in checker.seen if attributes.get("role") == "img"]
    assert len(roles) >= 2 + 1 + 6  # two curves, the filters, six parts of feature maps
    assert all(attributes["aria-label"] for attributes in roles)
    assert all("alt" in image for image in checker.all("img"))
    assert sum(bool(image["alt"]) for image in checker.all("img")) == 12 + 1  # errors and the example
    assert all(cell.get("scope") in ("row", "col") for cell in checker.all("th"))
    assert len(checker.all("caption")) == len(checker.all("table")) > 0
    assert checker.all("html")[0]["lang"] == "en"
    assert len(checker.all("h1")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in checker.all("meta")


def test_a_page_of_large_images_and_many_classes_stays_small():
    assert len(whole_page(1000, size=224, channels=3, layers=300, examples=20_000).encode()) < 1_500_000
    assert len(whole_page().encode()) < 300_000


def test_the_same_numbers_give_the_same_page():
    assert whole_page() == whole_page()


def test_the_matrix_shows_every_count_and_recall():
    labels, predictions = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])
    texts = Checker(
        page.document("t", run_page.confusion(labels, predictions, ["cat", "dog", "bird"], "test"))
    ).texts
    start = texts.index("cat", texts.index("recall"))
    assert texts[start : start + 15] == [
        "cat",
        "1",
        "2",
        "0",
        "33.3%",
        "dog",
        "0",
        "1",
        "0",
        "100%",
        "bird",
        "0",
        "0",
        "0",
        "–",
    ]
    assert "cat taken for dog" in texts
    assert "2 of 3" in texts


def test_many_classes_are_listed_by_their_mistakes():
    labels, predictions = np.array([40, 40, 7]), np.array([3, 3, 7])
    names = [f"c{i}" for i in range(50)]
    texts = Checker(page.document("t", run_page.confusion(labels, predictions, names, "test"))).texts
    assert "Most confused classes" in texts
    assert "c40 taken for c3" in texts
    assert "recall" not in texts


def test_no_errors_and_no_mistakes_are_said():
    labels = np.array([0, 1])
    text = page.document(
        "t",
        run_page.confusion(labels, labels, ["a", "b"], "test"),
        run_page.worst([], [], np.zeros((0, 2)), ["a", "b"], wrong=0),
    )
    assert "every example of the split is right" in text
    assert "taken for" not in text


@pytest.mark.parametrize(
    ("correct", "count", "words"),
    [
        (359, 359, ("100%", "98.9% to 100%")),
        (0, 10, ("0%", "0% to 27.8%")),
        (9999, 10_000, ("99.99%", "99.94% to 99.99%")),
    ],
)
def test_the_score_never_rounds_to_perfection(correct, count, words):
    text = run_page.score(correct, count, "test")
    assert all(f">{words[0]}<" in text or word in text for word in words)
    assert words[1] in text


def test_elements_escape_and_leave_out():
    assert page.element("p", "<", class_="a", hidden=None, open=False) == '<p class="a">&lt;</p>'
    assert page.element("p", page.Markup("<b>"), title='"') == '<p title="&quot;"><b></p>'


def test_writing_replaces_the_page_whole(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old")
    page.write(target, "new", page.note("text"))
    assert "<title>new</title>" in target.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(UserError, match="cannot be written"):
        page.write(tmp_path / "missing" / "page.html", "new")


def test_light_dark_print_and_phone_have_rules():
    style = whole_page().split("<style>")[1].split("</style>")[0]
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 34rem"):
        assert rule in style
    used = set(re.findall(r"var\((--[\w-]+)\)", whole_page()))
    light, dark = (
        set(re.findall(r"(--[\w-]+):", block)) for block in style.split("prefers-color-scheme: dark")[:2]
    )
    assert used - {"--share"} <= light
    assert light - dark == set()


def test_words_stand_out_from_what_is_behind_them():
    """Contrast of at least 4.5 (WCAG AA) in both themes, on the page and in the fullest cells."""
    style = whole_page().split("<style>")[1].split("</style>")[0]
    light = dict(re.findall(r"(--[\w-]+): ([^;]+);", style.split("@media")[0]))
    dark = light | dict(
        re.findall(r"(--[\w-]+): ([^;]+);", style.split("prefers-color-scheme: dark")[1].split("* {")[0])
    )
    base = {"hit": 0.1, "miss": 0.14}
    for theme in (light, dark):
        paper = _rgb(theme["--paper"])
        for name in ("--ink", "--muted", "--first", "--wrong"):
            assert _contrast(_rgb(theme[name]), paper) >= 4.5, name
            assert _contrast(_rgb(theme[name]), _rgb(theme["--sheet"])) >= 4.5, name
        for kind, least in base.items():
            assert f"calc({least} + var(--{kind}-depth) * var(--share))" in style
            depth = least + float(theme[f"--{kind}-depth"])
            cell = depth * np.array(theme[f"--{kind}"].split(), float) / 255 + (1 - depth) * paper
            assert _contrast(_rgb(theme["--ink"]), cell) >= 4.5, kind


def _rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def _contrast(one, other):
    def luminance(rgb):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
