"""Why a page was dropped, said for a person who has not read the rules."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = ("read", "screen", "extract", "judge")
"""Where in the funnel a record is lost: while reading it, by a cheap test, for want of text, by language and rules."""

LANGUAGE_REASONS = ("screened_language", "language", "language_unsure")


@dataclass(frozen=True, slots=True)
class Reason:
    step: str
    title: str
    explanation: str


REASONS: dict[str, Reason] = {
    "http_status": Reason(
        "read",
        "Not a 200 answer",
        "The server sent a redirect or an error, so there is no page in the record. The detail is the status.",
    ),
    "not_html": Reason(
        "read", "Not HTML", "A picture, a PDF, JSON or another kind of file. The detail is its content type."
    ),
    "not_http": Reason("read", "Not HTTP", "A response without HTTP headers, such as a DNS answer."),
    "empty_body": Reason("read", "Empty page", "The server answered 200 and sent nothing."),
    "too_large": Reason(
        "read",
        "Larger than allowed",
        "The page is bigger than ingest.max_page_bytes: most such pages are dumps and listings.",
    ),
    "truncated_record": Reason(
        "read",
        "Cut off",
        "The record ends before the length it announces: the crawl or the copy of the file was interrupted.",
    ),
    "damaged_record": Reason("read", "Damaged record", "The record or its compression cannot be parsed."),
    "undecodable_body": Reason(
        "read", "Cannot be unpacked", "The page was sent compressed or in chunks, and these do not unpack."
    ),
    "banned_host": Reason("screen", "Banned host", "The host, or one it belongs to, is on the recipe's list."),
    "banned_word": Reason("screen", "Banned word in the URL", "A whole word of the address is on the recipe's list."),
    "screened_language": Reason(
        "screen",
        "Other language, at first glance",
        "A quick look at the page's text finds none of the wanted languages, so no slow extraction is spent on it. "
        "The detail is the language.",
    ),
    "no_text": Reason(
        "extract", "No text found", "The extractor found no main text: a gallery, a form, a page drawn by JavaScript."
    ),
    "extraction_failed": Reason(
        "extract", "Extraction failed", "The extractor gave up on broken markup. The detail is its error."
    ),
    "language": Reason(
        "judge", "Other language", "The extracted text is in no wanted language. The detail is the language."
    ),
    "language_unsure": Reason(
        "judge",
        "Language not sure enough",
        "The text seems to be in a wanted language, with a score below the recipe's: mixed languages, code, lists of "
        "names, very short texts.",
    ),
    "too_few_words": Reason("judge", "Too few words", "Too short to be prose: a caption, a login page, a stub."),
    "too_many_words": Reason(
        "judge", "Too many words", "Longer than one page of prose ever is: a dump or a word list."
    ),
    "words_too_short": Reason(
        "judge", "Words too short", "The mean word is shorter than prose has: tables, single letters, formulas."
    ),
    "words_too_long": Reason(
        "judge", "Words too long", "The mean word is longer than prose has: URLs, code, text without spaces."
    ),
    "too_many_hashes": Reason(
        "judge", "Too many #", "Hash signs for more than the allowed share of words: tag clouds."
    ),
    "too_many_ellipses": Reason("judge", "Too many …", "Ellipses for more than the allowed share of words: teasers."),
    "too_many_bullets": Reason(
        "judge", "Mostly bullets", "Nearly all lines begin with a bullet: menus, ingredient lists."
    ),
    "too_many_ellipsis_lines": Reason(
        "judge", "Lines cut with …", "Many lines end in an ellipsis: lists of teasers, search results."
    ),
    "too_few_alpha_words": Reason(
        "judge",
        "Too few alphabetic words",
        "Too many words have no letter: prices, dates, scores, tables, and punctuation, which counts as words here.",
    ),
    "too_few_stop_words": Reason(
        "judge",
        "No running prose",
        "Hardly any of the, be, to, of, and, that, have, with: keyword lists, headlines, another language.",
    ),
}


def explain(reason: str, stage: str | None = None) -> Reason:
    """What is known of a reason; of an unknown one (a rule from elsewhere), its name and its stage."""
    if reason in REASONS:
        return REASONS[reason]
    step = "read" if stage == "ingest" else "judge"
    return Reason(
        step,
        reason.replace("_", " ").capitalize(),
        "A reason of the recipe's own: the rule that gives it is in the detail.",
    )
