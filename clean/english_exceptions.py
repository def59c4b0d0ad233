"""Chunks that spaCy's English tokenizer cuts by list, not by rule: contractions, abbreviations, times, emoticons.

From spacy/lang/en/tokenizer_exceptions.py and spacy/lang/tokenizer_exceptions.py of spaCy 3.8 (MIT licence); a test
compares the two where spaCy is installed.
"""

from __future__ import annotations

from functools import lru_cache

UNITS = """km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa
Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч кПа Па
мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ كم غرام جرام جم كغ ملغ كوب اكواب"""
"""Cut off after a digit: 5km is two words. The one that is Russian and Arabic at once is theirs."""

_PRONOUNS = "i you he she it we they"
_ASKING = "who what when where why how there that this these those"
_VERBS = "ca could do does did had may might must need ought sha should wo would"
_MODALS = "could might must should would"
_FORMS = "ai are is was were have has dare"
_NOT_CUT = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore"

_WHOLE = """
' '' \\") <space> C++ \\n \\t — and/or w/o
doin doin' goin goin' nothin nothin' nuthin nuthin' ol ol' somethin somethin' lovin lovin' havin havin'
Doin Doin' Goin Goin' Nothin Nothin' Nuthin Nuthin' Ol Ol' Somethin Somethin' Lovin Lovin' Havin Havin'
em 'em ll 'll nuff 'nuff 'S 's ‘S ‘s 're 'd 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock
O'clock Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun.
Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa.
S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E.
Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. a. b. c. d. e. f. g. h.
i. j. k. l. m.
n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-((
:((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :*
:-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__-
v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<)
(*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>
"""
_CUT = """
y'+all y+all how+'d+'y How+'d+'y not+'ve not+ve Not+'ve Not+ve can+not Can+not gon+na Gon+na got+ta Got+ta let+'s Let+'s
c'm+on C'm+on
"""


@lru_cache(maxsize=1)
def exceptions() -> dict[str, tuple[str, ...]]:
    """Chunk to its words; joined, they are the chunk."""
    cut: dict[str, tuple[str, ...]] = {}

    def add(words: str, *endings: str) -> None:
        for word in words.split():
            for head in (word, word.title()):
                for ending in endings:
                    pieces = (head, *ending.split("+"))
                    cut["".join(pieces)] = pieces

    def bare_and_not(words: str, *endings: str) -> None:
        """With the apostrophe and without: can't, cant."""
        add(words, *endings, *(e.replace("'", "") for e in endings))

    bare_and_not("i", "'m", "'m+a")
    bare_and_not(_PRONOUNS, "'ll", "'ll+'ve", "'d", "'d+'ve")
    bare_and_not("i you we they", "'ve")
    bare_and_not("you we they", "'re")
    bare_and_not("he she it", "'s")
    bare_and_not("who what when where why how there that this", "'s")
    bare_and_not("who what when where why how there these those", "'re", "'ve")
    bare_and_not(_ASKING, "'ll", "'ll+'ve", "'d", "'d+'ve")
    bare_and_not(_VERBS, "n't", "n't+'ve")
    bare_and_not(_MODALS, "'ve")
    bare_and_not(_FORMS, "n't")
    for hour in range(1, 13):
        for period in ("a.m.", "am", "p.m.", "pm"):
            cut[f"{hour}{period}"] = (str(hour), period)
    for line in _CUT.split():
        cut[line.replace("+", "")] = tuple(line.split("+"))
    for word in _NOT_CUT.split():
        cut.pop(word, None)
    cut |= {word: (word,) for word in _WHOLE.split()}
    cut |= {f"°{unit}.": ("°", unit, ".") for unit in "cfkCFK"}
    return cut | {k.replace("'", "’"): tuple(p.replace("'", "’") for p in v) for k, v in cut.items() if "'" in k}
