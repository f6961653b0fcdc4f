from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from patchclip_core.errors import VocabularyFileError
from patchclip_core.io.vocabulary import CHEST, View, fold, load_vocabulary
from patchclip_core.values.definitions import conf_dir

SHIPPED = load_vocabulary()


def each(phrases: str) -> list[str]:
    return phrases.split("|")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TÓRAX", "torax"),
        ("Brustkörbe", "BRUSTKORBE"),
        ("Fuß", "FUSS"),
        ("płuca", "PLUCA"),
        ("Røntgen", "rontgen"),
        ("ГРУДНОЙ", "грудной"),
        ("ΘΏΡΑΞ", "θωραξ"),
        ("AKCİĞER", "akciger"),
    ],
)
def test_words_are_compared_without_accents_and_case(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    "phrase",
    [
        *each(
            "CHEST|Thorax|TÓRAX|BRUSTKORB|POUMON|PULMON|PECHO|CXR|THX|Lunge|Bettthorax|THORAXUEBERSICHT|"
            "Poitrine|Cage thoracique|Torace|Polmoni|Pulmão|Peito|Borstkas|Longfoto|Bröstkorg|Brystkasse|"
            "Rintakehä|Keuhkot|Klatka piersiowa|KLP|Hrudník|Plíce|Pluća|Mellkas|Akciğer|Toraks|Göğüs|"
            "Грудная клетка|ОГК|Лёгкие|grudnaya kletka|Θώρακας|ΘΩΡΑΚΟΣ|胸部|흉부|صدر|חזה|Ngực|Dada|"
            "CHEST/ABDOMEN|Thorax und Abdomen|chest and ribs|PORT CHEST 1V|CHEST PICC LINE ARM|"
            "TORACE,FRN P->A|Herz/Lunge|Cor/Pulmo|Cœur-poumons"
        ),
    ],
)
def test_the_chest_is_heard_in_the_words_of_sites(phrase: str) -> None:
    assert CHEST in SHIPPED.hear(phrase).parts


@pytest.mark.parametrize(
    ("phrase", "part"),
    [
        *((phrase, "hand") for phrase in each("HAND PA|Handgelenk links|Main droite|MANO DX|Mão|кисть|Finger 2")),
        *((phrase, "leg") for phrase in each("KNEE AP|Knie li|Genou|Rodilla|Ginocchio dx|Joelho|Kolano|колено")),
        *((phrase, "foot") for phrase in each("FOOT|Vorfuß re|Pied gauche|Voet|Sprunggelenk|стопа|Ayak bileği")),
        *((phrase, "abdomen") for phrase in each("KUB|ABDOMEN SUPINE|Bauch|Addome|Brzuch|Vatsa|腹部|живот")),
        *((phrase, "head") for phrase in each("SKULL LAT|Schädel|NNH|Crâne|Cráneo|Czaszka|Lebka|череп")),
        *((phrase, "teeth") for phrase in each("OPG|Zähne|Dental|Bitewing|зубы|ORTHOPANTOMOGRAM")),
        *((phrase, "hip and pelvis") for phrase in each("PELVIS AP|Beckenübersicht|Hüfte re|Bassin|Cadera|Miednica")),
        *(
            (phrase, "spine")
            for phrase in each("THORACIC SPINE|BWS|C-SPINE|Brustwirbelsäule|Rachis dorsal|LWS|Th. spine")
        ),
        *((phrase, "shoulder") for phrase in each("SHOULDER|Schulter|Épaule|Hombro|Spalla|Bark|плечо")),
        *((phrase, "ribs") for phrase in each("RIBS|Gril costal|Sternum|Rippen|Hemitórax|Emitorace dx|Gril cost D")),
        *((phrase, "hand") for phrase in each("Carpo|Pulso E|zápästie|sağ el|Età ossea|Idade óssea|Skaphoid|Prsty")),
        *((phrase, "leg") for phrase in each("Femore|Peroné|Pangonogramme|Telemetría|arto inferiore|koljenni")),
        *((phrase, "foot") for phrase in each("PIE|PE D|Fußwurzel|Kalkaneus|Os calcis|chodidlo|Alluce|avant-pied")),
        *((phrase, "abdomen") for phrase in each("BOZ|ADBG|Dünndarm|Clisma opaco|TOGD|SPLEEN|Cistografia|корема")),
        *((phrase, "head") for phrase in each("Kafatas|Maxillaire|ATM|EYE|Nariz|Bihuler|Henkeltopf|пазухи носа")),
        *((phrase, "teeth") for phrase in each("OPT|Dent|intra-oral|Panorama|Cefalometria|Telecranio|RVG|hambavalok")),
        *((phrase, "hip and pelvis") for phrase in each("Panvica|Bedrový kĺb|Bækken|Coxofémoral|Symphyse|кульшовий")),
        *((phrase, "shoulder") for phrase in each("Ramo|Rame|Skuldra|staw ramienny|Axelled|раме")),
        *((phrase, "clavicle and scapula") for phrase in each("Clavicule|AC-Gelenk|Klíční kost|Kulcscsont|lopatka")),
        *((phrase, "arm") for phrase in each("Bras D|Omero|Úmero|membro superiore|végtag|kończyna|lakta")),
    ],
)
def test_another_part_is_heard_and_no_chest(phrase: str, part: str) -> None:
    assert SHIPPED.hear(phrase).parts == {part}


@pytest.mark.parametrize(
    ("phrase", "views"),
    [
        *((phrase, {View.PA}) for phrase in each("PA|P.A.|p-a|P->A|POSTEROANTERIOR|postero-anterior|pa erect|后前位")),
        *((phrase, {View.AP}) for phrase in each("AP|A.P.|a/p|ANTEROPOSTERIOR|Antero Posterior|AP SUPINE|前后位")),
        *(
            (phrase, {View.LATERAL})
            for phrase in each("LAT|SEITL|SEITLICH|seitl.|LATERO|PROFIL|profilo|ML|SWIMMERS|L.L.")
        ),
        *((phrase, {View.LATERAL}) for phrase in each("Seite|dwars|boczne|Boční|боковая|ΠΛΑΓΙΑ|側面|Sivu|XTABLE LAT")),
        *((phrase, {View.DECUBITUS}) for phrase in each("DECUB|LLD|left side down|Seitenlage|DORSAL DECUBITUS")),
        *((phrase, {View.LORDOTIC}) for phrase in each("LORDOTIC|apical lordotic|Lindblom|Lordose")),
        *((phrase, {View.AP, View.LORDOTIC}) for phrase in each("AP, LORDOSE")),
        *((phrase, {View.OBLIQUE}) for phrase in each("OBL|RAO|schräg|oblicua|косая")),
        *((phrase, set[View]()) for phrase in each("SUPINE|liegend|décubitus dorsal|decúbito supino|PORTABLE|ERECT")),
    ],
)
def test_views_are_heard_in_the_words_of_sites(phrase: str, views: set[View]) -> None:
    assert SHIPPED.hear(phrase, in_view=True).views == views


@pytest.mark.parametrize(
    ("phrase", "parts"),
    [
        *(
            (phrase, {"spine"})
            for phrase in each(
                "THORACIC/LUMBAR SPINE|Thoracic & Lumbar|Thoracale wervelkolom|Thorakale Wirbelsäule|toracic spine|"
                "Cervico-thoracic|dorsal thoracic vertebra|kręgosłup piersiowy|hrudní páteř|Thorakolumbaler Übergang"
            )
        ),
        *((phrase, {CHEST}) for phrase in each("Thoracic|RX THORACIQUE|Thorakal p.a.|Tórácico|hrudní koš|TORAKAL")),
        ("Thoraco-abdominal", {CHEST}),
        ("Chest and thoracic spine", {CHEST, "spine"}),
    ],
)
def test_an_adjective_is_of_the_part_that_is_named_beside_it(phrase: str, parts: set[str]) -> None:
    assert SHIPPED.hear(phrase).parts == parts


@pytest.mark.parametrize(
    "phrase",
    each(
        "LLATERAL|zijwaarts|DWARSOPNAME|lewoboczne|z boku|levobočná|sānskata|جانبي|צדדי|профил|L-R|li-re|profilbild|"
        "Bočna|Latero-lateral|X-TABLE|SWIMMER'S|Perfil izquierdo|Lateral yan|oldalirányú|側面像|左侧位"
    ),
)
def test_a_lateral_is_heard_in_the_words_of_sites(phrase: str) -> None:
    assert SHIPPED.hear(phrase, in_view=True).views == {View.LATERAL}


@pytest.mark.parametrize(
    ("phrase", "view"),
    [
        *(
            (phrase, View.PA)
            for phrase in each("achtervoorwaarts|οπισθοπρόσθια|zado-přední|bakifrån|póstero-anterior|takaa")
        ),
        *(
            (phrase, View.AP)
            for phrase in each("voorachterwaarts|προσθοπίσθια|předo-zadní|framifrån|ântero-posterior|edestä")
        ),
        *((phrase, View.FRONTAL) for phrase in each("in fronte|frontaal|szembe|ön-arka|önden|przednie|etukuva")),
    ],
)
def test_a_frontal_view_is_heard_in_the_words_of_sites(phrase: str, view: View) -> None:
    assert SHIPPED.hear(phrase, in_view=True).views == {view}


def test_what_means_something_else_in_a_description_is_heard_in_the_view_alone() -> None:
    assert SHIPPED.hear("50 ML").views == set()
    assert SHIPPED.hear("left side drain").views == set()


def test_an_unknown_word_is_known_to_be_unknown() -> None:
    assert SHIPPED.hear("XQZT").unknown
    assert not SHIPPED.hear("CHEST PA ERECT PORTABLE").unknown
    assert not SHIPPED.hear("UNKNOWN").unknown
    assert not SHIPPED.hear("Röntgen-Aufnahme Thorax in 2 Ebenen").unknown


def test_the_shipped_words_stand_for_one_part_each() -> None:
    content = yaml.safe_load((conf_dir() / "radiographs.yaml").read_text(encoding="utf-8"))
    parts = defaultdict(set)
    for part, groups in content["body_parts"].items():
        for group in groups:
            for word in (*group.get("words", ()), *group.get("adjectives", ())):
                parts[fold(word)].add(part)

    assert {word: names for word, names in parts.items() if len(names) > 1} == {}


def test_a_site_adds_words_and_replaces_ours(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(
        "body_parts:\n  chest: [{source: our PACS, words: [RTG KOMORA, KUB]}]\n"
        "  spine: [{source: our PACS, adjectives: [ACHSE]}]\n"
        "views:\n  lateral: [{source: our PACS, words: [BOCNICA], codes: [X77]}]\n",
        encoding="utf-8",
    )

    ours = load_vocabulary(file)

    assert ours.hear("RTG komora").parts == ours.hear("KUB").parts == {CHEST}
    assert ours.hear("Achse").parts == {"spine"}
    assert ours.hear("Achse Hand").parts == {"hand"}
    assert ours.hear("bočnica").views == {View.LATERAL}
    assert ours.view_of_code("X77") is View.LATERAL
    assert ours.hear("HAND").parts == {"hand"}
    assert SHIPPED.hear("KUB").parts == {"abdomen"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("views: {sideways: []}", "sideways"),
        ("body_parts: {chest: [{words: [x]}]}", "source"),
        ("placement: [{source: s, words: ['-->']}]", "holds no letter"),
        ("colour: red", "colour"),
        ("[", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_sites_file_is_named(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(VocabularyFileError, match=named):
        load_vocabulary(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyFileError, match=r"gone\.yaml: No such file"):
        load_vocabulary(tmp_path / "gone.yaml")
