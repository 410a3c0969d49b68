"""Which language a passage is written in, told by its script and, for Latin letters, by its small words.

For filters only, so it may say nothing: a passage that shows no language is in every language's scope. What people
write is another matter, with hints and history to lean on: `bot.dialogue.language`.
"""

import re

_READ_CHARACTERS = 2000  # a passage; a row that was never cut may be longer, and says no more

_KANA = re.compile("[\u3040-\u30ff]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_NO_PROSE = re.compile(r"\w+://\S+|\S+@\S+|\S+\.\w+/\S*")

# Characters where words have no blanks between them, words elsewhere: about as much text each.
_BY_SCRIPT = {
    "ko": re.compile("[\uac00-\ud7af]+"),
    "th": re.compile("[\u0e00-\u0e7f]{3}"),
    "ru": re.compile("[\u0400-\u04ff]+"),
    "el": re.compile("[\u0370-\u03ff]+"),
    "he": re.compile("[\u0590-\u05ff]+"),
    "ar": re.compile("[\u0600-\u06ff]+"),
    "hi": re.compile("[\u0900-\u097f]+"),
}
_ANY_SCRIPT = re.compile("|".join(script.pattern for script in _BY_SCRIPT.values()))

_SMALL_WORDS = {
    "en": "the of and to is are in for on with your you it be this that not can will from how what when by or if we do",
    "de": "der die das und ist nicht sie ein eine mit für auf den dem von zu wie wird werden bei oder im ich wir kann",
    "fr": "le la les des et est une un pour dans vous votre nous du de pas sur avec que qui au aux ou par en je ce",
    "es": "el la los las y es un una para en su con por del de no que se como al más o si lo puede cómo mi",
    "pt": "o os as e é um uma para em seu sua com por do da de não que se como ao mais ou pode você no na",
    "it": "il lo gli le e è un una per in con di del della non che si come al più o se può i nel da",
    "nl": "de het een en is van niet u uw met voor op te zijn dat hoe wordt bij of ik we kan naar als",
    "vi": "của và là không được cho các với bạn trong một để khi có này đã thì như nào tôi",
    "id": "yang dan di untuk dengan ini itu tidak anda dari ke akan atau pada dapat bagaimana saya kami adalah bisa",
}
_HEARD_IN: dict[str, list[str]] = {}
for _code, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _HEARD_IN.setdefault(_word, []).append(_code)

LANGUAGES = ("zh", "en", "ja", *_BY_SCRIPT, *(code for code in _SMALL_WORDS if code != "en"))
"""The codes that `language_of` knows. A language that shares another's script and is not here may pass as it."""


def language_of(text: str) -> str:
    """One of LANGUAGES, or "" where nothing can be told."""
    text = text[:_READ_CHARACTERS]
    if "/" in text or "@" in text:  # .5 ms in a Chinese text, which has no blanks
        text = _NO_PROSE.sub(" ", text)
    latin = [word.lower() for word in _LATIN.findall(text)]
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    # Chinese quotes a kana at most ("の"); Japanese is a third kana or more.
    wide = "ja" if kana * 10 > han else "zh"
    amounts = dict.fromkeys(_BY_SCRIPT, 0)
    if _ANY_SCRIPT.search(text):
        amounts = {code: len(script.findall(text)) for code, script in _BY_SCRIPT.items()}
    amounts[wide] = han + kana
    code = max(amounts, key=lambda code: amounts[code])
    # Chinese text may hold many foreign names; other text quotes a Chinese word at most.
    return code if amounts[code] and amounts[code] >= len(latin) else _by_small_words(latin)


def _by_small_words(words: list[str]) -> str:
    heard = dict.fromkeys(_SMALL_WORDS, 0)
    for word in words:
        for code in _HEARD_IN.get(word, ()):
            heard[code] += 1
    best, second = sorted(heard, key=lambda code: -heard[code])[:2]
    return best if heard[best] > heard[second] else ""
