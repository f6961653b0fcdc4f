from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchclip_core.drawing import overlay
from patchclip_core.drawing.legend import LEGEND_WIDTH_PX, Legend
from patchclip_core.drawing.overlay import draw_overlay
from patchclip_core.drawing.palette import BRIGHT, DIM
from patchclip_core.drawing.text import UNDRAWABLE, drawable, font, wrapped
from patchclip_core.places.regions import region_mask
from patchclip_core.values.definitions import load_findings
from patchclip_core.values.results import Findings, FindingState, Radiograph
from patchclip_core.values.statement import NOTHING_SEEN
from patchclip_core.values.wording import ENGLISH, load_wordings
from tests.support.synthetic import TRAINED, UNTRAINED, absent, findings_for, not_seen, of_state, source_image

DEFINITIONS = load_findings()
BANNER_RED = (190, 40, 28)


def radiograph(rows: int, columns: int, aspect: float = 1.0) -> Radiograph:
    return Radiograph(np.full((rows, columns), 0.5, dtype=np.float32), aspect)


def findings(rows: int, columns: int, present: dict[str, list[tuple[int, int, int, int]]]) -> Findings:
    return findings_for(source_image(Rows=rows, Columns=columns), present)


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == np.array(colour)).all(axis=-1).sum())


@pytest.mark.parametrize(("rows", "columns"), [(2500, 2000), (400, 400), (300, 900), (900, 300), (1, 1)])
def test_the_picture_has_a_sensible_size_whatever_the_radiographs(rows: int, columns: int) -> None:
    picture = draw_overlay(radiograph(rows, columns), findings(rows, columns, {}), DEFINITIONS)

    assert picture.mode == "RGB"
    assert 700 <= picture.width <= 1400 + LEGEND_WIDTH_PX
    assert 900 <= picture.height <= 1500


@pytest.mark.parametrize("longest_side_px", [512, 1600, None])
@pytest.mark.parametrize(("rows", "columns"), [(2500, 2048), (2048, 2500), (1400, 1400), (700, 500)])
def test_a_prepared_picture_is_what_is_drawn_on(
    rows: int, columns: int, longest_side_px: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, found = radiograph(rows, columns), findings(rows, columns, {"opacity": [(4, 4, 5, 5)]})
    drawn = draw_overlay(image, found, DEFINITIONS, longest_side_px=longest_side_px)
    prepared = overlay.prepared_picture(image, longest_side_px)
    before = prepared.tobytes()

    monkeypatch.setattr(overlay, "shown", lambda *_: pytest.fail("it was prepared"))
    again = draw_overlay(image, found, DEFINITIONS, longest_side_px=longest_side_px, prepared=prepared)

    assert again.tobytes() == drawn.tobytes()
    assert prepared.tobytes() == before


@pytest.mark.parametrize("columns", range(1993, 2003))
def test_the_picture_has_an_even_number_of_bytes(columns: int) -> None:
    picture = draw_overlay(radiograph(1955, columns), findings(1955, columns, {}), DEFINITIONS, longest_side_px=1600)

    assert picture.width % 2 == 0
    assert picture.width > 1590


def test_a_contour_runs_along_the_border_of_its_region() -> None:
    found = findings(1400, 1400, {"opacity": [(4, 4, 5, 5)]})
    picture = draw_overlay(radiograph(1400, 1400), found, DEFINITIONS)

    drawn = (np.asarray(picture)[:, :1400] == np.array(DEFINITIONS["opacity"].colour_rgb)).all(axis=-1)
    mask = region_mask(found["opacity"], found.geometry)
    rows, columns = np.nonzero(mask)
    middle = (rows.min() + rows.max()) // 2
    left_edge = columns[rows == middle].min()
    assert drawn[middle, left_edge : left_edge + 4].all()
    assert not drawn[middle, left_edge + 20 : left_edge + 60].any()
    assert not drawn[middle, left_edge - 20 : left_edge - 1].any()


def test_a_contour_has_a_dark_rim_on_both_sides() -> None:
    found = findings(1400, 1400, {"opacity": [(4, 4, 5, 5)]})
    picture = np.asarray(draw_overlay(radiograph(1400, 1400), found, DEFINITIONS)).astype(int)

    rows, columns = np.nonzero(region_mask(found["opacity"], found.geometry))
    middle, left_edge = (rows.min() + rows.max()) // 2, columns.min()

    grey = picture[middle, left_edge - 20]
    assert (picture[middle, [left_edge - 2, left_edge - 1, left_edge + 4, left_edge + 5]] < grey - 40).all()
    assert (picture[middle, [left_edge - 3, left_edge + 6]] == grey).all()


@pytest.mark.parametrize(("rows", "columns"), [(2500, 2000), (400, 400), (300, 900), (900, 300)])
@pytest.mark.parametrize("longest_side_px", [512, 800, 1600])
def test_a_picture_is_no_larger_than_asked_and_keeps_its_proportions(
    rows: int, columns: int, longest_side_px: int
) -> None:
    found = replace(findings(rows, columns, {"opacity": [(4, 4, 5, 5)]}), model=UNTRAINED)

    natural = draw_overlay(radiograph(rows, columns), found, DEFINITIONS)
    small = draw_overlay(radiograph(rows, columns), found, DEFINITIONS, longest_side_px=longest_side_px)

    limit = min(max(natural.size), longest_side_px)
    assert 0.96 * limit <= max(small.size) <= limit
    assert small.width / small.height == pytest.approx(natural.width / natural.height, rel=0.05)


def test_a_contour_stays_on_its_region_in_a_small_picture() -> None:
    found = findings(1400, 1400, {"opacity": [(4, 4, 5, 5)]})
    picture = draw_overlay(radiograph(1400, 1400), found, DEFINITIONS, longest_side_px=776)

    drawn = (np.asarray(picture)[:, : picture.height] == np.array(DEFINITIONS["opacity"].colour_rgb)).all(axis=-1)
    scale = picture.height / 1400
    covered_rows, covered_columns = np.nonzero(region_mask(found["opacity"], found.geometry))
    rows, columns = np.nonzero(drawn[round(covered_rows.min() * scale) :])  # the label is above
    covered = covered_columns.min(), covered_columns.max() + 1, np.ptp(covered_rows) + 1
    assert np.array([columns.min(), columns.max() + 1, rows.max() + 1]) / scale == pytest.approx(covered, abs=4)


def test_a_long_name_leaves_room_for_what_is_said_of_it() -> None:
    found = findings(400, 400, {})
    names = {key: "x" if key == "nodule_mass" else one.name for key, one in DEFINITIONS.items()}
    names_long = names | {"nodule_mass": "Lungenrundherd oder Raumforderung im linken Unterlappen"}
    short, long = (
        draw_overlay(
            radiograph(400, 400),
            found,
            {key: one.model_copy(update={"name": all_names[key]}) for key, one in DEFINITIONS.items()},
        )
        for all_names in (names, names_long)
    )

    said_px = round(font(26).getlength("absent"))
    beginning = 1400 + LEGEND_WIDTH_PX - 36 - said_px - 6
    assert short.tobytes() != long.tobytes()
    assert (np.asarray(short)[:, beginning:] == np.asarray(long)[:, beginning:]).all()


def test_a_word_that_is_longer_than_its_room_does_not_run_into_what_is_said() -> None:
    found = findings(400, 400, {})
    long = DEFINITIONS | {"opacity": DEFINITIONS["opacity"].model_copy(update={"name": "Lungenverschattungsverdacht"})}
    none = DEFINITIONS | {"opacity": DEFINITIONS["opacity"].model_copy(update={"name": ""})}

    for longest_side_px in (1200, 1600, None):
        with_name, without = (
            np.asarray(
                draw_overlay(
                    radiograph(400, 400), found, one, wording=load_wordings()["de"], longest_side_px=longest_side_px
                )
            )
            for one in (long, none)
        )
        scale = with_name.shape[1] / (1400 + LEGEND_WIDTH_PX)
        said_px = font(round(26 * scale)).getlength("nicht vorhanden")
        written = np.flatnonzero((with_name != without).any(axis=(0, 2)))
        assert written[-1] < with_name.shape[1] - 36 * scale - said_px


def test_what_there_is_to_say_of_image_and_model_is_said_in_the_language_once() -> None:
    model = replace(TRAINED, statement="It errs often.")
    remarks = ("The view is unknown: View Position is missing. It was analysed as a frontal view.",)

    legend = Legend.of(replace(findings(400, 400, {}), model=model), DEFINITIONS, remarks, load_wordings()["de"])

    said = [" ".join(line for line, _ in lines) for lines in legend.notes]
    assert (
        said[0] == "Die Projektion ist unbekannt: View Position fehlt. Das Bild wurde als frontale Aufnahme untersucht."
    )
    assert "It errs often." in said


def test_remarks_make_room_below_the_findings_and_nothing_else_smaller() -> None:
    found, remarks = findings(400, 400, {}), [f"Remark {number}: " + "word " * 30 for number in range(9)]

    plain = draw_overlay(radiograph(400, 400), found, DEFINITIONS)
    remarked = draw_overlay(radiograph(400, 400), found, DEFINITIONS, remarks=remarks)

    assert remarked.width == plain.width
    assert remarked.height > plain.height
    legend = Legend.of(found, DEFINITIONS, (), ENGLISH)
    rows_px = legend.height_px - 36 - sum(8 + 28 * len(lines) for lines in legend.notes)
    before, after = (np.asarray(picture)[:rows_px, 1400:] for picture in (plain, remarked))
    assert np.array_equal(before, after)


def test_a_region_at_the_border_of_the_image_is_outlined_on_all_sides() -> None:
    found = findings(1400, 1400, {"opacity": [(0, 0, 4, 4)]})
    picture = draw_overlay(radiograph(1400, 1400), found, DEFINITIONS)

    drawn = (np.asarray(picture) == np.array(DEFINITIONS["opacity"].colour_rgb)).all(axis=-1)
    assert drawn[200:300, 0].all()


def test_findings_whose_names_cannot_be_spelt_are_all_labelled() -> None:
    found = findings(1400, 1400, {"opacity": [(2, 2, 3, 3)], "edema": [(9, 9, 3, 3)]})
    greek = {key: one.model_copy(update={"name": "Λοίμωξη"}) for key, one in DEFINITIONS.items()}

    picture = draw_overlay(radiograph(1400, 1400), found, greek).crop((0, 0, 1400, 1400))

    label_px = 42 * (2 + 3)
    assert all(count(picture, DEFINITIONS[key].colour_rgb) > 4 * 3 * 100 + label_px for key in ("opacity", "edema"))


def test_absent_findings_are_in_the_legend_and_not_on_the_image() -> None:
    nothing = draw_overlay(radiograph(500, 500), findings(500, 500, {}), DEFINITIONS)

    on_image = np.asarray(nothing)[:1400, :1400]
    assert len(np.unique(on_image.reshape(-1, 3), axis=0)) == 1
    assert np.asarray(nothing)[:, 1400:].std() > 5


@pytest.mark.parametrize("language", load_wordings())
@pytest.mark.parametrize("state", FindingState)
def test_the_legend_says_the_verdict_in_words_and_brighter_where_something_was_found(
    language: str, state: FindingState
) -> None:
    wording, finding = load_wordings()[language], of_state("opacity", state)
    one = Findings((finding,), findings(500, 400, {}).geometry, TRAINED)

    (row,) = Legend.of(one, DEFINITIONS, (), wording).rows

    assert row.said.verdict.startswith(wording.say(state.value))
    assert row.words == (BRIGHT if state.is_found else DIM)
    small = " ".join(words for words, _ in row.small)
    assert bool(row.where) == state.is_found
    assert ("%" in small) == (state is not FindingState.NOT_EVALUATED)
    assert ("54 %" in small) == (state is FindingState.NOT_SEEN)  # the sensitivity, beside what was not seen
    assert all(colour == DIM for _, colour in row.small)


def test_the_legend_begins_with_what_was_found_and_says_where() -> None:
    items = tuple(of_state(key, state) for key, state in zip(DEFINITIONS, reversed(FindingState), strict=False))
    found = Findings(items, findings(500, 400, {}).geometry, TRAINED)

    legend = Legend.of(found, DEFINITIONS, (), load_wordings()["en"], orientation=("L", "F"))

    assert [row.said.state for row in legend.rows] == list(FindingState)
    assert legend.head == ()
    assert " ".join(words for words, _ in legend.rows[0].where) == "no place marked"


def test_the_legend_of_an_image_in_which_nothing_was_found_says_what_that_rules_out() -> None:
    legend = Legend.of(findings(500, 400, {}), DEFINITIONS, (), load_wordings()["en"])

    assert " ".join(words for words, _ in legend.head) == NOTHING_SEEN


def test_a_picture_in_which_something_was_not_seen_says_that_this_does_not_mean_absent() -> None:
    form = findings(500, 400, {}).geometry
    unseen, there = (
        Legend.of(Findings((finding,), form, TRAINED), DEFINITIONS, (), load_wordings()["en"])
        for finding in (not_seen("opacity"), absent("opacity"))
    )

    assert len(unseen.notes) == len(there.notes) + 1
    assert "does not mean absent" in " ".join(words for words, _ in unseen.notes[0])


def test_only_an_untrained_model_has_the_banner() -> None:
    found = findings(500, 400, {})

    trained = draw_overlay(radiograph(500, 400), replace(found, model=TRAINED), DEFINITIONS)
    untrained = draw_overlay(radiograph(500, 400), replace(found, model=UNTRAINED), DEFINITIONS)

    assert count(trained, BANNER_RED) == 0
    assert count(untrained, BANNER_RED) > 20_000
    assert untrained.height > trained.height


def test_pixels_that_are_not_square_are_shown_in_their_true_shape() -> None:
    tall = draw_overlay(radiograph(500, 1000, aspect=2.0), findings(500, 1000, {}), DEFINITIONS)

    assert tall.height == 1400
    assert tall.width == 1400 + LEGEND_WIDTH_PX


def test_findings_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match="500 x 400 pixels, this one has 400 x 500"):
        draw_overlay(radiograph(400, 500), findings(500, 400, {}), DEFINITIONS)


def test_lines_are_no_wider_than_their_room_whatever_the_words() -> None:
    sentence = "weights sha256:" + "0123456789abcdef" * 4 + " of it"

    lines = list(wrapped(sentence, 20, 200))

    assert "".join(lines).replace(" ", "") == sentence.replace(" ", "")
    assert max(font(20).getlength(line) for line in lines) <= 200
    assert list(wrapped("WW", 20, 1)) == ["W", "W"]


def test_words_are_spelt_with_the_letters_that_the_typeface_has() -> None:
    tables = load_wordings().values()
    said = "".join(sentence for wording in tables for sentence in wording.sentences.values())
    names = "".join(name for definition in load_findings().values() for name in definition.names.values())

    assert drawable("Lungenödem für Œdème") == "Lungenoedem fuer Oedeme"
    assert drawable("Λοίμωξη 山田 a") == "? ? a"
    assert drawable(said + names).count(UNDRAWABLE) == (said + names).count(UNDRAWABLE)
    missing = bytes(font(20).getmask("\uffff"))
    assert not [letter for letter in set(drawable(said)) - {" ", "\n"} if bytes(font(20).getmask(letter)) == missing]
