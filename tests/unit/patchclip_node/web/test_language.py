"""The pages speak the languages of the results, each of their sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import patchclip_node
from patchclip_node.domain.accounts import Act, Role
from patchclip_node.domain.records import DeliveryState, Priority
from patchclip_node.domain.states import StudyEvent, StudyState
from patchclip_node.web.actions import ACTIONS
from patchclip_node.web.app import ROOMS
from patchclip_node.web.language import chosen, load_speech
from patchclip_node.web.people import ACCOUNT_STATES
from patchclip_node.web.recalls import REASONS
from patchclip_node.web.study import ASKS

SPEECH = load_speech()
TEMPLATES = Path(patchclip_node.__file__).parent / "web" / "templates"
SAID = {
    *(said for path in TEMPLATES.glob("*.html") for said in re.findall(r"""say\("([^"]+)\"""", path.read_text())),
    *(one.lower().replace("_", " ") for one in (*StudyState, *DeliveryState, *StudyEvent)),
    *(one.name.lower() for one in Priority),
    *(name for _, name, _ in ROOMS),
    *(action.name for action in ACTIONS),
    *(words for asked in ASKS.values() for words in asked),
    *REASONS.values(),
    *Act,
    *Role,
    *ACCOUNT_STATES,
    *("well", "trouble", "waiting", "not tried"),
    *("fetch", "select", "decode", "model", "overlay", "results", "store"),
    *("Studies in the last 24 hours", "Studies in the last 30 days", "Time until results were returned"),
}


@pytest.mark.parametrize("language", sorted(set(SPEECH) - {"en"}))
def test_every_sentence_of_the_pages_is_translated(language: str) -> None:
    assert len(SAID) > 150
    assert SAID - set(SPEECH[language].pages.sentences) == set()


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_speaks_past_the_translation(path: Path) -> None:
    text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", " ", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"<code>.*?</code>|<[^>]*>", " ", text, flags=re.DOTALL)

    untranslated = r"SOP Instance UID|Study Instance UID|AUC|/metrics|UTC|TLS"
    words = re.findall(r"[A-Za-z]{3,}", re.sub(untranslated, "", text))
    assert words == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,fr;q=0.9", "de"),
        ("fr;q=0.2, de;q=0.8", "de"),
        ("it, fr;q=0.5", "fr"),
        ("de;q=0, fr", "fr"),
        ("xx;q=nonsense, *;q=0.1", "en"),
        (",;=,de;q=", "en"),
    ],
)
def test_a_page_speaks_what_its_browser_asks_for_first(accepted: str, language: str) -> None:
    assert chosen(accepted, SPEECH).results.language == language
