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
        "read", "Not HTML or text", "A picture, a PDF, JSON or another kind of file. The detail is its content type."
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
        "The record ends before the length it announces, or is one segment of several: the crawl or the copy of the "
        "file was interrupted.",
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

_MORE = {
    "read": {
        "not_json": ("Not JSON", "The line is no JSON object. The detail says where."),
        "blank_line": ("Blank line", "A line of a JSON lines file with nothing in it."),
        "text_not_a_string": ("Text of another type", "The text column holds no string here. The detail is its type."),
        "range_without_record": ("No record in the range", "The index points to bytes that are no WARC record."),
        "bad_index_row": ("Broken index row", "A row of the index lacks a file, an offset or a length."),
        "repeated_row": ("Row given twice", "The index names this record a second time."),
    },
    "screen": {
        "banned_url": ("Banned address", "The address, or one it lies under, is on a block list."),
        "soft_words": ("Several suspicious words", "More soft words in the address than the recipe allows."),
        "banned_subword": ("Banned part of a word", "The address holds a sequence of letters on the recipe's list."),
    },
    "extract": {
        "extraction_hung": ("Extraction never ended", "Killed for taking too long, or it crashed; tried twice."),
        "edited_away": ("Nothing left after editing", "The editors removed every line. The detail is the last editor."),
        "too_many_words_removed": ("Mostly boilerplate", "Line rules removed more of the page than the recipe allows."),
        "personal_data": ("Personal data", "The page holds personal data, and the recipe drops such pages."),
    },
    "judge": {
        "empty": ("Empty text", "There is nothing to judge."),
        "duplicate_paragraphs": ("Repeated paragraphs", "Too many paragraphs stand in the text more than once."),
        "duplicate_paragraph_chars": ("Repeated paragraphs, by length", "Too much of the text is such paragraphs."),
        "duplicate_lines": ("Repeated lines", "Too many lines stand in the text more than once: menus, tables."),
        "duplicate_line_chars": ("Repeated lines, by length", "Too much of the text is lines that stand in it before."),
        **{
            f"top_{n}_gram": (f"One phrase of {n} words", f"The most frequent {n} words in a row make up too much.")
            for n in (2, 3, 4)
        },
        **{
            f"duplicate_{n}_grams": (
                f"Repeated phrases of {n} words",
                f"Runs of {n} words that stand in the text before make up too much.",
            )
            for n in range(5, 11)
        },
        "lorem_ipsum": ("Lorem ipsum", "A page that was never filled in."),
        "curly_bracket": ("Curly bracket", "C4 takes a { for code."),
        "too_few_sentences": ("Too few sentences", "Fewer sentences than prose has: captions, stubs, lists."),
        "too_few_closed_lines": ("Lines without an end", "Few lines end in a full stop: menus, lists, tables, poems."),
        "too_many_short_lines": ("Mostly short lines", "Lines of at most thirty characters: menus, listings, tables."),
        "too_many_newlines": ("Too many lines", "Line ends for too many of the words: listings."),
        "contaminated": ("In an evaluation set", "Shares a run of words with a test. The detail names set and item."),
    },
}
REASONS |= {
    reason: Reason(step, *texts)
    for step, reasons in _MORE.items()
    for reason, texts in reasons.items()
}  # fmt: skip


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
