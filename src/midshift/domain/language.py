"""Which language a text is written in, as far as its letters and its commonest words tell; None where they do not.

A slice rule `{language: de}` asks for it, away from the path of a request. No model and no download: a script that one
language alone uses decides at once; between languages of one script, words that hardly a sentence does without decide,
and letters that few of them have. A text of too few such words, or of two languages alike, is not told: a request in
the wrong slice spoils two of them. Only languages in `KNOWN` are told, and their close relatives that are not in it may
be taken for them (Afrikaans for Dutch). A region cannot be told from a text, so tags are compared by their language.
Elsewhere: which texts of a request are the user's (cli.suite_building).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

LONGEST = 4000
"""Characters that are looked at: the language of a text does not change with its length."""

_ENOUGH = 1.0
"""Points that tell a language: one word that no other has, or three that a few share."""
_AHEAD_BY, _AHEAD_TIMES = 0.7, 1.35
"""How far the next language must be behind, so that Danish is not told where Norwegian would say nearly the same."""
_NO_WORDS = re.compile(r"```.*?(?:```|\Z)|`[^`]*`|https?://\S+|\S+@\S+|<[^<>]{1,200}>|\{\{.*?\}\}", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")

_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("el", re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("te", re.compile(r"[\u0c00-\u0c7f]")),
    ("ka", re.compile(r"[\u10a0-\u10ff]")),
    ("hy", re.compile(r"[\u0530-\u058f]")),
)
"""Scripts that one language of today's products uses; Japanese before Chinese, whose characters it uses too."""

_WORDS = {
    "en": "the and is are was to of in that it you for with this my i have has not can be do does how what when where "
    "why who please your we they from an but on if there would could should will about which me hello thanks",
    "de": "der die das und ist nicht ich sie ein eine einen mit von für auf den dem wie was wo warum kann haben habe "
    "hat mein meine ihr sind wird bitte auch noch es wir zu im bei oder aber wenn dass mir mich kein keine hallo danke "
    "seit nach aus über schon bin werden wurde ihre gibt",
    "fr": "le la les et est une des je vous nous pas que qui dans pour sur avec mon ma mes votre ce cette il elle ont "
    "suis du au aux ne comment où quand pourquoi quel quelle sont être bonjour merci plus mais ou par fait j'ai c'est "
    "leur ces n'est d'un d'une qu'il faire peux puis-je s'il",
    "es": "el la los las y es una que de por para con no mi su se lo del al como cómo qué cuándo dónde pero más está "
    "están tengo puedo hay muy hola gracias ha son ser este esta un yo usted nos me sin sobre le cuál quiero porque",
    "it": "il lo gli e è una che di per con non mi si del della dei nel come cosa quando dove perché sono ho ha più ma "
    "questo questa anche un alla dal sul mio mia grazie ciao vorrei posso essere ancora delle sia un' le la l'ordine "
    "c'è dell'ordine quale",
    "pt": "o os as e é uma que de por para com não meu minha se do da dos das no na em um como quando onde mas mais "
    "está estou tenho posso há muito olá obrigado obrigada foi são ser este esta eu você ao à pelo qual isso também "
    "porque já quero",
    "nl": "de het een en is niet ik je u van voor met op dat dit die hoe wat waar waarom wanneer kan heb heeft mijn "
    "zijn wordt aan ook nog er we te bij maar als deze om naar graag hallo dank geen uw ben of door worden deze welke",
    "sv": "och är inte jag det en ett att som på för med av den till har hur vad var när varför kan min mitt mina ni "
    "vi du om men från så hej tack ska skulle eller också finns något detta mig vill er får",
    "da": "og er ikke jeg det en et at som på for med af den til har hvordan hvad hvor hvornår hvorfor kan min mit "
    "mine i vi du om men fra så hej tak skal ville eller også noget dette mig vil jer får efter været bliver",
    "no": "og er ikke jeg det en et å som på for med av den til har hvordan hva hvor når hvorfor kan min mitt mine "
    "dere vi du om men fra så hei takk skal ville eller også noe dette meg vil får etter vært blir hvilken",
    "fi": "ja on ei en se että minä minun olen mutta kun jos miten mitä missä milloin miksi voi voin voinko oli ovat "
    "tämä ole hän he me te kuin myös tai vain nyt jo mikä hei kiitos onko saa saada sitä joka ole tuote",
    "pl": "i w nie jest się na z do to że jak co gdzie kiedy dlaczego czy moje mój moja mam mogę dla po od ale o są "
    "był była było może jestem proszę dziękuję dzień dobry za przez tym tego jej jego który która lub już jeszcze",
    "cs": "a je se na že v to s z do jak co kde kdy proč můj moje mám mohu mohl po od ale jsou byl byla bylo "
    "může jsem prosím děkuji dobrý den za podle který která nebo už ještě není k i si jste o tak",
    "sk": "a je sa na že v to s z do ako čo kde kedy prečo môj moje mám môžem mohol pre po od ale sú bol bola bolo "
    "môže som prosím ďakujem dobrý deň za podľa ktorý ktorá alebo už ešte nie k i si ste o tak",
    "hu": "a az és nem hogy van egy is de ez azt mint csak meg én te mi ön hol mikor miért hogyan mennyi lehet "
    "szeretnék kérem köszönöm volt vagy már még ha ki nincs vagyok tudom jó fel el ezt",
    "ro": "și și în nu este un o cu la de pe că ce cum unde când am ai are sunt mea meu mele pentru din mai dar sau "
    "vă rog mulțumesc bună fost fi care să se pot aș dacă acest această nu-mi mi-am i",
    "tr": "ve bir bu da de için ile ne nasıl nerede zaman neden mi mı mu mü değil var yok ben sen siz benim çok ama "
    "daha olarak gibi lütfen teşekkürler merhaba kadar olan olduğu ya her şey bana istiyorum ederim hangi",
    "vi": "là và của không có tôi bạn được cho với này một các những trong để như thế nào khi đã ở đâu sao gì tại "
    "muốn giúp xin cảm ơn chào rất nhưng vì hay bao nhiêu",
    "ru": "и в не на что я с как это он по но из у к за то для мы вы мне мой моя где когда почему есть был была было "
    "можно ли нет же бы так все мой если или о от до уже ещё еще спасибо здравствуйте пожалуйста могу который",
    "uk": "і в не на що я з як це він по але із у до за то для ми ви мені мій моя де коли чому є був була було можна "
    "чи ні ж би так все якщо або про від вже ще дякую вітаю будь ласка можу який й та",
    "bg": "и в не на че аз с как това той по но от у към за то ние вие ми моят моята къде кога защо е беше може ли "
    "няма да се са съм ако или до вече още благодаря здравейте моля мога който си ще какво",
    "ar": "في من على إلى عن مع هذا هذه ما لا أن هل كيف أين متى لماذا أنا أنت هو هي كان التي الذي لم قد و لي يمكنني "
    "أريد شكرا مرحبا كل بعد قبل أو ثم إذا",
    "fa": "در از به که این را با است برای من شما چه چگونه کجا چرا می آن یک و تا هم یا ولی اگر سلام ممنون هست نیست "
    "کنم خود بود شد لطفا",
    "ur": "کے کی کا میں ہے اور سے کو یہ نہیں ہیں پر آپ کیا کیسے کہاں کب کیوں نے ہو میرا میری شکریہ تھا لیے ایک "
    "وہ بھی تو اس",
    "hi": "है के में की का और से को यह नहीं हैं पर आप क्या कैसे कहाँ कब क्यों ने हो मेरा मेरी धन्यवाद था लिए एक वह भी तो इस मैं मुझे कर रहा",
}
_LETTERS = {
    "ß": "de",
    "ñ¿¡": "es",
    "ãõ": "pt",
    "œ": "fr",
    "å": "sv da no",
    "øæ": "da no",
    "ä": "de sv fi sk",
    "ö": "de sv fi hu tr",
    "ü": "de hu tr es",
    "łąęśźżń": "pl",
    "řěů": "cs",
    "ľĺŕ": "sk",
    "őű": "hu",
    "țşăâ": "ro",
    "ğış": "tr",
    "đơưạảấầẩậắằặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ": "vi",
    "ыэё": "ru",
    "іїєґ": "uk",
    "щъ": "bg ru",
    "پچژگ": "fa ur",
    "ٹڈڑےںہھ": "ur",
}
_A_LETTER = 0.4
_ALIASES = {"nb": "no", "nn": "no", "iw": "he"}

KNOWN = frozenset({*_WORDS, *(language for language, _ in _SCRIPTS)})


def _owners(lists: Mapping[str, frozenset[str]]) -> Mapping[str, Mapping[str, float]]:
    """For every entry, what it says for each language that has it: the fewer have it, the more."""
    shared = Counter(entry for entries in lists.values() for entry in entries)
    found: dict[str, dict[str, float]] = {}
    for language, entries in lists.items():
        for entry in entries:
            found.setdefault(entry, {})[language] = 1.0 / shared[entry]
    return MappingProxyType(found)


_BY_WORD = _owners({language: frozenset(words.split()) for language, words in _WORDS.items()})
_BY_LETTER = MappingProxyType(
    {
        letter: {one: 1.0 / len(names.split()) for one in names.split()}
        for letters, names in _LETTERS.items()
        for letter in letters
    }
)


def language_of(text: str) -> str | None:
    """The language of a text, as its ISO 639 code in small letters; None where it cannot be told."""
    plain = _NO_WORDS.sub(" ", text[: 2 * LONGEST])[:LONGEST].lower()
    letters = sum(letter.isalpha() for letter in plain)
    for language, script in _SCRIPTS:
        if letters and len(script.findall(plain)) >= (0.1 if language == "ja" else 0.4) * letters:
            return language
    points: dict[str, float] = {}
    for word in _WORD.findall(plain):
        _add(points, _BY_WORD.get(word.replace("\u2019", "'"), {}), 1.0)
    for letter, times in Counter(plain).items():
        _add(points, _BY_LETTER.get(letter, {}), _A_LETTER * min(times, 3))
    return _first(points)


def _add(points: dict[str, float], shares: Mapping[str, float], weight: float) -> None:
    for language, share in shares.items():
        points[language] = points.get(language, 0.0) + weight * share


def _first(points: Mapping[str, float]) -> str | None:
    """The language that is ahead of all others by enough."""
    ranked = sorted(((most, language) for language, most in points.items()), reverse=True)
    (most, best), (next_, _) = [*ranked, (0.0, ""), (0.0, "")][:2]
    is_ahead = most - next_ >= _AHEAD_BY and most >= _AHEAD_TIMES * next_
    return best if most >= _ENOUGH and is_ahead else None


def told_as(tag: str) -> str | None:
    """What `language_of` calls the language of a BCP 47 tag, whatever its region; None for one that it cannot tell."""
    language = tag.lower().partition("-")[0]
    language = _ALIASES.get(language, language)
    return language if language in KNOWN else None
