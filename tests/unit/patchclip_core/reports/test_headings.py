"""Reports as hospitals write them: any spelling of a heading, none at all, English, German and French."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from patchclip_core.errors import ReportHeadingsFileError
from patchclip_core.reports.headings import load_report_headings, report_headings
from patchclip_core.reports.sentences import kept_of, sections
from patchclip_core.values.definitions import conf_dir

CONTENT = yaml.safe_load((conf_dir() / "report_headings.yaml").read_text(encoding="utf-8"))
SEEN, MEANT, ASKED = "The lungs are clear.", "No acute disease.", "Fever and cough; pneumonia"

WRITTEN = {
    "a colon": lambda heading, text: f"{heading}: {text}",
    "capitals": lambda heading, text: f"{heading.upper()}: {text}",
    "lower case": lambda heading, text: f"{heading.lower()}: {text}",
    "a blank before the colon, as in French": lambda heading, text: f"{heading} : {text}",
    "a wide colon": lambda heading, text: f"{heading}\uff1a{text}",
    "a line break after it": lambda heading, text: f"{heading}:\n{text}",
    "an empty line after it": lambda heading, text: f"{heading.upper()}:\n\n  {text}",
    "a line for itself": lambda heading, text: f"{heading.upper()}\n{text}",
    "a line for itself with blanks": lambda heading, text: f"  {heading}  \n\n{text}",
    "a dash": lambda heading, text: f"{heading} - {text}",
    "a number": lambda heading, text: f"1. {heading}: {text}",
    "a roman number": lambda heading, text: f"II. {heading.upper()}: {text}",
    "a letter in brackets": lambda heading, text: f"(a) {heading}: {text}",
    "stars": lambda heading, text: f"**{heading}:** {text}",
    "stars around the word alone": lambda heading, text: f"**{heading}**: {text}",
    "a hash": lambda heading, text: f"## {heading}\n{text}",
    "what it is of, in brackets": lambda heading, text: f"{heading} (chest): {text}",
}


@pytest.mark.parametrize("form", list(WRITTEN))
@pytest.mark.parametrize("kind", ["findings", "impression", "question", "about", "left_out"])
def test_every_heading_is_known_in_every_way_of_writing_it(kind: str, form: str) -> None:
    for heading in CONTENT[kind]:
        other = "IMPRESSION" if kind == "findings" else "FINDINGS"
        own = WRITTEN[form](heading.capitalize(), SEEN)
        report = f"{own}\n\n{other}: {MEANT}\n"

        found = sections(report)

        expected = {"findings": (SEEN, MEANT), "impression": (MEANT, SEEN)}.get(kind, (MEANT, ""))
        assert (found.findings, found.impression) == expected, report


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize(
    ("question", "findings", "impression"),
    [
        *itertools.product(("Indication", "REASON FOR EXAM"), ("FINDINGS", "Findings"), ("Impression", "CONCLUSION")),
        *itertools.product(("Klinische Angaben", "FRAGESTELLUNG"), ("Befund", "BEFUNDE"), ("Beurteilung", "FAZIT")),
        *itertools.product(("Renseignements cliniques", "MOTIF"), ("RESULTATS", "Résultats"), ("SYNTHÈSE", "Au total")),
    ],
)
def test_a_whole_report_of_three_languages(question: str, findings: str, impression: str, newline: str) -> None:
    report = newline.join([f"{question}: {ASKED}", f"{findings}: {SEEN}", f"{impression}: {MEANT}"])

    found = sections(report)

    assert (found.findings, found.impression) == (SEEN, MEANT)


@pytest.mark.parametrize(
    "misspelt", ["IMPRESSON", "IMPRESSIOn", "IMPRESION", "IMPRRESSION", "Impresssion", "IMPRESSIONS", "IMPRESISON"]
)
def test_a_slip_of_the_pen_in_a_heading_is_forgiven(misspelt: str) -> None:
    assert sections(f"FINDNGS: {SEEN}\n{misspelt}: {MEANT}") == sections(f"FINDINGS: {SEEN}\nIMPRESSION: {MEANT}")


@pytest.mark.parametrize("line", ["LUNGS: clear.", "Heart: normal.", "Lines and tubes: none.", "Bones: no fracture."])
def test_organs_named_within_findings_are_not_headings(line: str) -> None:
    assert sections(f"FINDINGS:\n{line}\nIMPRESSION: {MEANT}").findings == line


TITLES = [
    "CHEST, SINGLE AP VIEW.",
    "CHEST (PA AND LAT):",
    "Portable chest x-ray",
    "FINAL REPORT\nCHEST, TWO VIEWS:",
    "AP upright and lateral views of the chest.",
    "Röntgen Thorax in 2 Ebenen:",
    "RÖNTGEN-THORAX P.A. UND SEITLICH",
    "Röntgen Thorax im Liegen am Bett.",
    "Radiographie pulmonaire de face.",
    "RADIOGRAPHIE THORACIQUE DE FACE ET DE PROFIL :",
]


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize("between", ["\n", "\n\n", " "])
def test_findings_under_a_title_alone_are_kept_without_it(title: str, between: str) -> None:
    found = sections(f"{title}{between}{SEEN} Heart size is normal.\n\nIMPRESSION: {MEANT}")

    if between == " " and title[-1] not in ".:":
        return  # a title that runs into the sentence is a part of it
    assert " ".join(found.findings.split()) == f"{SEEN} Heart size is normal."
    assert found.impression == MEANT


@pytest.mark.parametrize("about", ["COMPARISON: Radiograph of ___.", "TECHNIQUE: Portable AP.", "EXAM: CHEST, PA."])
def test_findings_that_follow_technique_or_comparison_under_no_heading_are_kept(about: str) -> None:
    found = sections(f"INDICATION: {ASKED}.\n\n{about}\n\n{SEEN}\n\nIMPRESSION: {MEANT}")

    assert (found.findings, found.impression) == (SEEN, MEANT)


@pytest.mark.parametrize("join", ["/", " / ", " and ", ", ", " & ", " UND ", " et "])
@pytest.mark.parametrize(
    ("one", "other", "announced"),
    [
        ("Findings", "Impression", "findings"),
        ("BEFUND", "BEURTEILUNG", "findings"),
        ("Résultats", "Conclusion", "findings"),
        ("Impression", "Recommendations", "impression"),
        ("Conclusion", "Impression", "impression"),
        ("Indication", "Technique", "question"),
        ("Klinische Angaben", "Befund", "question"),
        ("Technique", "Comparison", "about"),
    ],
)
def test_several_headings_make_one_together(one: str, other: str, announced: str, join: str) -> None:
    for heading in (f"{one}{join}{other}", f"{other}{join}{one}"):
        assert report_headings().kind_of(heading) == announced
    assert report_headings().kind_of(f"{one}{join}lines") is None


@pytest.mark.parametrize(
    "question", ["INDICATION", "REASON FOR EXAMINATION", "Klinische Angaben", "Renseignements cliniques"]
)
@pytest.mark.parametrize(
    "begun",
    [
        "As compared to the previous radiograph, the heart is larger.",
        "In comparison with the study of ___, the heart is larger.",
        "Portable AP radiograph of the chest was reviewed. The heart is larger.",
        "Im Vergleich zur Voraufnahme Herz größer.",
        "Par rapport au cliché précédent, le cœur est plus grand.",
    ],
)
def test_findings_that_follow_the_question_after_an_empty_line_are_known_by_how_they_begin(
    begun: str, question: str
) -> None:
    apart = sections(f"{question}: {ASKED}.\n \n {begun}\n\n{SEEN}")
    within = sections(f"{question}: {ASKED}. {begun}\n\nKnown effusion, now worse.")

    assert apart.findings == f"{begun}\n{SEEN}"
    assert within == sections("")


@pytest.mark.parametrize("title", [title for title in TITLES if title[-1] in ".:"])
def test_findings_follow_a_title_after_the_question(title: str) -> None:
    assert sections(f"INDICATION: {ASKED}.\n\n{title}\n{SEEN}").findings.endswith(SEEN)
    assert ASKED not in sections(f"INDICATION: {ASKED}.\n\n{title}\n{SEEN}").findings


def test_a_title_under_a_heading_is_not_what_was_seen() -> None:
    assert sections("Compte rendu :\nRADIOGRAPHIE DU THORAX\n\nIndication : toux.").findings == ""
    assert sections(f"REPORT: CHEST, PA AND LATERAL\n{SEEN}").findings.endswith(SEEN)


def test_where_findings_have_a_heading_what_stands_elsewhere_is_left() -> None:
    assert sections(f"Known left effusion.\n\nFINDINGS: {SEEN}").findings == SEEN


QUESTIONS = [
    "64 year old man with fever.",
    "64-year-old woman, rule out pneumonia.",
    "R/O effusion.",
    "Please evaluate for pneumothorax.",
    "Pneumonia?",
    "History of pleural effusion.",
    "Patient presents with cough and consolidation.",
    "V.a. Pneumonie.",
    "Ausschluss Pneumothorax.",
    "Erguss?",
    "Frage nach Infiltrat.",
    "Suspicion de pneumopathie.",
    "Recherche de pneumothorax.",
    "Patiente de 54 ans, épanchement connu.",
    "Foyer infectieux ?",
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("report", ["{}\n" + SEEN, "{} " + SEEN, "CHEST, AP VIEW.\n{}\n\n" + SEEN, SEEN + "\n{}"])
def test_a_question_under_no_heading_is_never_a_finding(report: str, question: str) -> None:
    assert sections(report.format(question)).findings == SEEN


FOLLOWED = [
    ("INDICATION: Fever, cough.\nThe lungs are clear. No effusion.", "lungs are clear", "Fever"),
    ("INDICATION: Fever.\nPA and lateral views. Lungs are clear.", "Lungs are clear", "Fever"),
    ("HISTORY: chest pain\nHeart size normal. Lungs clear.\nIMPRESSION: Normal.", "Heart size", "chest pain"),
    ("Clinical history: 54M cough\nThere is a left effusion.", "left effusion", "cough"),
    ("REASON: SOB\nThe cardiac silhouette is enlarged.\nIMPRESSION: Cardiomegaly.", "silhouette is enlarged", "SOB"),
    ("Indication: Dyspnoe.\nHerz normal groß. Kein Erguss.", "Herz normal", "Dyspnoe"),
    (
        "Klinische Angaben: Husten, Fieber\nKein Infiltrat. Herz nicht vergrößert.\nBeurteilung: unauffällig",
        "Kein Infiltrat",
        "Husten",
    ),
    (
        "Fragestellung: Pneumonie?\nZwerchfelle glatt, kein Erguss. Infiltrat rechts basal.",
        "Infiltrat rechts",
        "Pneumonie?",
    ),
    ("Indication : toux fébrile\nPas d'épanchement. Silhouette cardiaque normale.", "Pas d'", "toux"),
    ("Motif : dyspnée\nParenchyme pulmonaire clair.\nConclusion : normal.", "Parenchyme", "dysp"),
    (
        "Technique : radiographie de face en inspiration.\nLes coupoles sont nettes. Le cœur est normal.",
        "coupoles",
        "inspiration",
    ),
    ("Technique d'examen : face debout.\nPas d'anomalie pleuro-parenchymateuse.", "Pas d'anomalie", "debout"),
    (
        "TECHNIQUE: Frontal and lateral views of the chest were obtained.\nThe lungs are clear.",
        "lungs are clear",
        "obtained",
    ),
    ("COMPARISON: None.\nThe lungs are clear. Heart normal.", "lungs are clear", "None"),
    (
        "EXAM: CHEST\nINDICATION: cough\nTECHNIQUE: PA and lateral\nCOMPARISON: None\nLungs are well expanded.",
        "well expanded",
        "cough",
    ),
    ("PROCEDURE: CHEST PA & LAT\nDATE: 1/2/2020\nThe heart is normal. Lungs clear.", "heart is normal", "2020"),
    ("Klin. Angaben: Husten\nBefund: o.B.", "o.B.", "Husten"),
    ("Vergleich: 01.02.2020\nHerz größenkonstant. Kein Erguss.", "größenkonstant", "2020"),
    ("Methode: Digitale Aufnahme im Liegen\nZVK regelrecht. Kein Pneumothorax.", "ZVK", "Digitale"),
    (
        "Examen : radiographie thoracique\nIndication : contrôle\nPas de pneumothorax.",
        "Pas de pneumothorax",
        "contrôle",
    ),
    (
        "Chest: PA and lateral\nClinical: cough\nLungs: clear\nHeart: normal\nImpression: normal",
        "Lungs: clear",
        "cough",
    ),
    ("INDICATION: Cough\n\nThe lungs are clear. There is no effusion.", "lungs are clear", "Cough"),
    ("INDICATION: Cough.\n\nLungs are clear.\n\nIMPRESSION: Normal.", "Lungs are clear", "Cough"),
    ("Indikation: Husten.\n\nKein Erguss. Herz normal.", "Kein Erguss", "Husten"),
    ("Indication : toux.\n\nPoumons clairs, pas d'épanchement.", "Poumons clairs", "toux"),
    (
        "TECHNIQUE : Cliché de face, debout, en inspiration\n\nAbsence de foyer.\nSilhouette cardiaque normale.",
        "Absence de foyer",
        "debout",
    ),
    ("Protocole : Cliché de face debout.\nPas de foyer. Pas d'épanchement.", "Pas de foyer", "debout"),
    ("Technique : Face debout. Pas de foyer. Cœur normal.", "Pas de foyer", "debout"),
    ("Technik: Röntgen Thorax p.a. im Stehen.\nHerz normal groß. Kein Erguss.", "Herz normal", "Stehen"),
]
"""Reports whose findings follow another part at once; what must be in the findings, and what must not."""


@pytest.mark.parametrize(("report", "seen", "left"), FOLLOWED)
def test_findings_that_follow_on_the_next_line_are_kept(report: str, seen: str, left: str) -> None:
    found = sections(report)

    assert seen in found.findings
    assert left not in found.findings + found.impression


@pytest.mark.parametrize("heading", ["INDICATION", "Clinical history", "Fragestellung", "Motif"])
def test_findings_of_every_organ_are_known_on_the_line_after_the_question(heading: str) -> None:
    for organ in CONTENT["organs"]:
        seen = f"{organ.capitalize()}: normal."

        assert sections(f"{heading}: {ASKED}.\n{seen}").findings == seen
        assert sections(f"{heading}: {ASKED}, whether\n{seen}") == sections("")


@pytest.mark.parametrize("sign", CONTENT["signs"])
def test_what_is_denied_on_the_line_after_the_question_is_a_finding_unless_it_asks(sign: str) -> None:
    for denial in CONTENT["denies"]:
        seen = f"{denial.capitalize()} {sign}".replace("' ", "'")

        assert sections(f"INDICATION: {ASKED}\n{seen}.").findings == f"{seen}."
        assert sections(f"INDICATION: {ASKED}\n{seen}?") == sections("")


ASKED_ON = [
    "INDICATION: 60 year old with cough, please evaluate whether\nLungs are clear.",
    "HISTORY: Fever.\nLungs clear to auscultation.\nHeart regular.",
    "INDICATION: Pain in\nChest and shoulder.",
    "HISTORY: Heart failure.\nLung cancer.\nKnown effusion.",
    "INDICATION: Known effusion.\n\nNew consolidation since yesterday.",
    "HISTORY: Lung transplant.\nHeart transplant is planned.",
    "REASON: cough\nNo fever.\nNo weight loss.",
    "REASON: cough\nNo effusion?",
    "Klinische Angaben: Herzinsuffizienz\nLungenkarzinom, Pleuraerguss bekannt.\nErguss progredient?",
    "Fragestellung: Frage, ob\nHerz vergrößert.",
    "Klinik: Z.n. ZVK-Anlage\nZVK-Lage? Pneumothorax?",
    "Indication : insuffisance cardiaque\nÉpanchement connu.\nPneumothorax ?",
    "Motif : bilan\nPoumon droit opéré.",
    "INDICATION: s/p chest tube\nChest tube removed. Pneumothorax?",
    "INDICATION: evaluate for\nno effusion or pneumothorax.",
    "HISTORY: There is concern for\npneumonia.\nThere is concern for effusion.",
    "INDICATION: dyspnea\n\nHeart failure with effusion.",
    "INDICATION: dyspnea\n\nThere is question of effusion.",
]


@pytest.mark.parametrize("report", ASKED_ON)
def test_a_question_of_several_lines_is_never_a_finding(report: str) -> None:
    assert sections(report) == sections("")


@pytest.mark.parametrize("heading", CONTENT["question"])
def test_a_question_under_its_heading_is_never_a_finding_whatever_is_missing_after_it(heading: str) -> None:
    said = "Known effusion, now worse.\n\nNew consolidation since yesterday."

    assert sections(f"{heading.capitalize()}: {said}") == sections("")
    assert sections(f"{heading.upper()}\n{said}\n\nIMPRESSION: {MEANT}").findings == ""


@pytest.mark.parametrize("report", [f"CHEST, SINGLE AP VIEW.\n{SEEN}", f"IMPRESSON: {MEANT}", f"Befund:\n{SEEN}"])
def test_what_is_kept_reads_as_the_report_does(report: str) -> None:
    assert kept_of(report)
    assert sections(kept_of(report)) == sections(report)


def test_a_file_of_headings_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "headings.yaml"
    path.write_text(yaml.safe_dump(CONTENT | {"impression": [*CONTENT["impression"], "Befund"]}), encoding="utf-8")

    with pytest.raises(
        ReportHeadingsFileError, match=r"headings\.yaml.*\n.*'Befund' is listed under findings and under impression"
    ):
        load_report_headings(path)
    assert report_headings().kind_of("Röntgenbefund") == "findings"
