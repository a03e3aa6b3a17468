"""The page of a sweep, of studies that were never trained."""

import html

import pytest

from jaxcnn.sweeps import pages


def text_of(folder):
    return html.unescape(pages.write(folder.path).read_text())


@pytest.mark.parametrize("trials", [32, 3])
def test_a_grid_is_over_when_its_points_are(folder, open_study, trials):
    space = ("momentum=choice(0,0.9)", "warmup=choice(0,0.2)")
    study = open_study(sampler="grid", search=space, trials=trials)
    for done in range(min(4, trials)):
        study.complete(study.ask(), [done / 8], {"val_accuracy": [done / 8]})
        over = study.over()
        assert over == (f"of {study.size} candidates have not ended" not in text_of(folder))
    assert over
    assert ("Draw as many candidates again" in text_of(folder)) == (trials == 3)


def test_costs_are_told_as_people_read_them(folder, open_study):
    study = open_study(objective="val_accuracy,macs", sampler="random")
    for i, macs in enumerate((592.0, 4736.0, 416_520.0)):
        study.complete(study.ask(), [(i + 1) / 4, macs], {"val_accuracy": [(i + 1) / 4]})
    text = text_of(folder)
    assert "416,520" in text
    assert "e+0" not in text.partition("<svg")[2]
