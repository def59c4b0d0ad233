"""Check digits: what tells a number that identifies someone from a number that does not.

Each function takes the number without blanks and hyphens, and says whether it is well formed. Sources: ISO/IEC 7812
(Luhn), ISO 13616 (IBAN), ISO 7064, and the issuing authorities named below.
"""

from __future__ import annotations

import re

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
_ISSUERS = re.compile(  # Visa, Mastercard, American Express, Discover, Diners, JCB, UnionPay, Mir
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|3(?:0[0-5]|095|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|220[0-4]\d{12}"
)
_VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PERMUTATION = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
_CODICE_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
    22, 25, 24, 23,
), strict=True))  # fmt: skip
_CHINESE_PROVINCE = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]")


def luhn(digits: str) -> bool:
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + i % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def bank_card(digits: str) -> bool:
    """Luhn, and a range and length that an issuer uses (ISO/IEC 7812); few numbers are right by chance."""
    return _ISSUERS.fullmatch(digits) is not None and luhn(digits)


def iban(code: str) -> bool:
    """Mod 97 is 1, and the length is the country's."""
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def us_ssn(digits: str) -> bool:
    """Structure alone (SSA): no check digit."""
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def uk_nino(code: str) -> bool:
    """Structure alone (HMRC)."""
    return (
        re.fullmatch(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", code) is not None
        and code[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")
    )  # fmt: skip


def chinese_id(code: str) -> bool:
    """GB 11643: province, date of birth, ISO 7064 mod 11-2."""
    if not _CHINESE_PROVINCE.match(code) or not _date(code[6:10], code[10:12], code[12:14]):
        return False
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(code[:17]))
    return "10X98765432"[total % 11] == code[17].upper()


def spanish_id(code: str) -> bool:
    """DNI and NIE: the letter is the number mod 23."""
    number = str("XYZ".index(code[0])) + code[1:-1] if code[0] in "XYZ" else code[:-1]
    return _DNI_LETTERS[int(number) % 23] == code[-1].upper()


def german_tax_id(digits: str) -> bool:
    """Steuer-IdNr: ISO 7064 mod 11-10; of the first ten digits one stands twice or thrice."""
    counts = sorted(digits[:10].count(d) for d in set(digits[:10]))
    if digits[0] == "0" or counts[-1] not in (2, 3) or (len(counts) > 1 and counts[-2] > 1):
        return False
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def french_nir(code: str) -> bool:
    """Numéro de sécurité sociale with its key: 97 less the number mod 97; Corsica's 2A and 2B count as 19 and 18."""
    number = code[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(code[13:])


def codice_fiscale(code: str) -> bool:
    """Italian tax code (D.M. 23/12/1976): the last letter is a sum mod 26."""
    total = sum(
        _CODICE_ODD[c] if i % 2 == 0 else int(c, 36) - (0 if c.isdigit() else 10) for i, c in enumerate(code[:15])
    )
    return chr(65 + total % 26) == code[15]


def brazilian_cpf(digits: str) -> bool:
    """Two check digits mod 11; eleven equal digits pass them and are none."""
    if len(set(digits)) == 1:
        return False
    return all(
        sum(int(d) * (n + 1 - i) for i, d in enumerate(digits[:n])) * 10 % 11 % 10 == int(digits[n]) for n in (9, 10)
    )


def indian_aadhaar(digits: str) -> bool:
    """Verhoeff's check digit; the first digit is neither 0 nor 1."""
    check = 0
    for i, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_PRODUCT[check][int(_VERHOEFF_PERMUTATION[i % 8][int(digit)])])
    return digits[0] not in "01" and check == 0


def polish_pesel(digits: str) -> bool:
    """Weights 1 3 7 9, mod 10."""
    return sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True)) % 10 == 0


def dutch_bsn(digits: str) -> bool:
    """The eleven test."""
    total = sum(int(d) * w for d, w in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True))
    return total % 11 == 0 and int(digits) > 0


def korean_rrn(digits: str) -> bool:
    """Date of birth and a check digit mod 11 (numbers given since October 2020 have none: they need the word)."""
    total = sum(int(d) * w for d, w in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False))
    return _date("20" + digits[:2], digits[2:4], digits[4:6]) and (11 - total % 11) % 10 == int(digits[12])


def _date(year: str, month: str, day: str) -> bool:
    return 1850 <= int(year) <= 2099 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31
