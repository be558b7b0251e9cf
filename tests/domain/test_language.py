"""A slice by language is only worth something if a text is never put into the wrong one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.language import KNOWN, LONGEST, language_of, told_as

TEXTS = {
    "en": "Hello, where is my order? I have not received it and I need it for Friday.",
    "de": "Hallo, wo bleibt meine Bestellung? Ich habe sie nicht bekommen und brauche sie bis Freitag.",
    "fr": "Bonjour, où est ma commande ? Je ne l'ai pas reçue et j'en ai besoin pour vendredi.",
    "es": "Hola, ¿dónde está mi pedido? No lo he recibido y lo necesito para el viernes.",
    "it": "Ciao, dove si trova il mio ordine? Non ho ancora ricevuto niente e mi serve per venerdì.",
    "pt": "Olá, onde está o meu pedido? Ainda não recebi e preciso dele para sexta-feira, obrigado.",
    "nl": "Hallo, waar blijft mijn bestelling? Ik heb het nog niet ontvangen en ik heb het vrijdag nodig.",
    "sv": "Hej, var är min beställning? Jag har inte fått den och jag behöver den till fredag, tack.",
    "da": "Hej, hvornår kommer min ordre? Jeg har ikke fået noget, og jeg skal bruge den efter fredag, tak.",
    "no": "Hei, når kommer bestillingen min? Jeg har ikke fått noe, og hva gjør dere nå? Takk.",
    "fi": "Hei, missä tilaukseni on? En ole saanut sitä ja minä tarvitsen sen perjantaina, kiitos.",
    "pl": "Dzień dobry, gdzie jest moje zamówienie? Jeszcze go nie mam, a potrzebuję na piątek.",
    "cs": "Dobrý den, kde je moje objednávka? Ještě jsem ji nedostal a potřebuji ji na pátek.",
    "sk": "Dobrý deň, kde je moja objednávka? Ešte som ju nedostal a čo mám robiť, prosím?",
    "hu": "Jó napot, hol van a rendelésem? Még nem kaptam meg, és péntekre kérem, köszönöm.",
    "ro": "Bună ziua, unde este comanda mea? Nu am primit-o și am nevoie de ea pentru vineri.",
    "tr": "Merhaba, siparişim nerede? Daha gelmedi ve cuma günü için istiyorum, teşekkürler.",
    "vi": "Xin chào, đơn hàng của tôi ở đâu? Tôi chưa nhận được và tôi cần cho thứ sáu.",
    "ru": "Здравствуйте, где мой заказ? Я его ещё не получил, и он нужен мне к пятнице.",
    "uk": "Вітаю, де моє замовлення? Я ще не отримав, і воно потрібне мені до п'ятниці, дякую.",
    "bg": "Здравейте, къде е моята поръчка? Още не съм я получил и ще ми трябва за петък.",
    "ar": "مرحبا، أين طلبي؟ لم يصل بعد وأنا أريد هذا قبل يوم الجمعة، شكرا.",
    "fa": "سلام، سفارش من کجا است؟ هنوز آن را نگرفته‌ام و برای جمعه می‌خواهم، ممنون.",
    "ur": "میرا آرڈر کہاں ہے؟ یہ ابھی تک نہیں آیا اور مجھے جمعہ کو چاہیے، شکریہ۔",
    "hi": "मेरा ऑर्डर कहाँ है? यह अभी तक नहीं आया और मुझे शुक्रवार को चाहिए, धन्यवाद।",
    "ja": "注文した商品はどこですか。まだ届いていません。",
    "ko": "제 주문은 어디에 있나요? 아직 받지 못했습니다.",
    "zh": "我的订单在哪里？我还没有收到。",
    "th": "คำสั่งซื้อของฉันอยู่ที่ไหน",
    "el": "Πού είναι η παραγγελία μου;",
    "he": "איפה ההזמנה שלי?",
    "bn": "আমার অর্ডার কোথায়?",
    "ta": "என் ஆர்டர் எங்கே?",
    "te": "నా ఆర్డర్ ఎక్కడ ఉంది?",
    "ka": "სად არის ჩემი შეკვეთა?",
    "hy": "Որտե՞ղ է իմ պատվերը:",
}


@pytest.mark.parametrize("language", sorted(KNOWN))
def test_a_question_to_support_is_told(language: str) -> None:
    """Every language that a rule may name has a text here."""
    assert language == language_of(TEXTS[language])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "OK",
        "👍👍",
        "SKU-4711-B iPhone 15 Pro Max 256GB",
        "Traceback (most recent call last): KeyError",
        "Ich habe eine Frage. I have a question that is not the same as this one, und was kann ich tun?",
        "lorem ipsum dolor sit amet consectetur",
    ],
)
def test_what_does_not_tell_is_not_guessed(text: str) -> None:
    """An unknown language is no slice, and better than the wrong one."""
    assert language_of(text) is None


def test_code_addresses_and_templates_say_nothing() -> None:
    """Programs are in English whoever asks about them."""
    code = "```python\nfor this in that: print('the and is are was with for')\n```"
    more = "https://x.com/the/and/is `if the is not` {{ the.and }} the@and.com"

    assert "de" == language_of(f"Warum geht das hier nicht? {code} {more}")


def test_a_long_text_costs_no_more_than_a_short_one() -> None:
    """Retrieved documents can be a megabyte."""
    assert "de" == language_of(TEXTS["de"] * (LONGEST // 50) + " the and is with" * LONGEST)


@pytest.mark.parametrize(
    ("tag", "expected"), [("de", "de"), ("de-AT", "de"), ("pt-BR", "pt"), ("nb", "no"), ("sw", None), ("zh-Hant", "zh")]
)
def test_a_tag_is_compared_by_its_language(tag: str, expected: str | None) -> None:
    """No text says which region it is from."""
    assert expected == told_as(tag)


@given(text=st.text(max_size=200))
def test_any_text_has_a_known_language_or_none(text: str) -> None:
    """Whatever a user types."""
    assert language_of(text) in {*KNOWN, None}
