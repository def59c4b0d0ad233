"""trafilatura in its fast mode, with its hot spots replaced: the same text from every page, in about half the time.

Most of its time goes into XPath expressions that test the class and id of every element against regular expressions,
each expression again for every element, every copy of the tree, and through a Python call each. Here the words
are read off the expressions, all attributes of a page are searched for all of them in one pass of a kernel, what is
found is written on the elements as a mark, and from then on the expressions only look for marks. So no list of words is
copied: what trafilatura changes in its lists is followed. Elements are all of one class, chosen in C.

The replacements live in a private copy of the library's modules: whoever imports trafilatura gets it as it is. Where
the installed version is laid out otherwise than the known ones, it is used as it is, and slower (`accelerated()` says).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from copy import copy
from functools import lru_cache
from itertools import islice, permutations
from pathlib import Path
from types import ModuleType
from typing import Any

from lxml import etree
from lxml.html import HtmlComment, HtmlElement, HTMLParser, HtmlProcessingInstruction

from corpusmill.clean.element_marks import ATTRIBUTES, Word, WordTable, build, predicates, role_of, words_of

_PRIVATE = "corpusmill_trafilatura"
_MARK, _PRESENT = "_m", "_p"
"""On an element, the bits that hold for its kind; on the root, all bits that occur on the page."""
_ORDERED = ("id", "class", "style")
"""Of these, some expressions look only at the one that stands first."""
_ROLES = {
    name: {earlier: role_of(name, earlier) for n in range(4) for earlier in permutations(_ORDERED, n)}
    for name in ATTRIBUTES
    if name != "data-lp-replacement-content"
}

_BLOCKS = frozenset({"div", "item", "list", "p", "section", "span"})
_FRAMES = frozenset({"article", "div", "main", "section"})
_MARKED = etree.XPath(f"descendant::*[@{_MARK}]")  # libxml2 takes twice as long over ".//*[...]"
_CLEANED = etree.XPath(
    "descendant::*[self::aside or self::div or self::fencedframe or self::footer or self::script or self::style "
    f"or self::svg or self::template or @{_MARK}]"
)
_ALWAYS_CLEANED = frozenset({"aside", "fencedframe", "footer", "script", "style", "svg", "template"})


def trafilatura_text(html: str, *, markdown: bool = False) -> str | None:
    """Main text of a page, or None where there is none; headings, lists, tables and code as Markdown if asked for.

    As `trafilatura.bare_extraction(html, fast=True, include_comments=False, with_metadata=False).text`. Deduplication
    and the search for dates stay off: one keeps a cache over pages, the other asks what day it is.
    """
    lib = _library()
    if lib is None:
        return _plain_library(html, markdown=markdown, fast=True)
    options = lib.options[markdown]
    try:
        tree = lib.utils.load_html(html, options.max_file_size)
        if tree is None:
            return None
        _drop_invisible(tree, lib.xml.delete_element)
        mark(tree, lib.words, lib.replaced)
        body, text = _cascade(lib, tree, options)
    except (TypeError, ValueError):  # as the library does: no page
        return None
    if len(text) < options.min_output_size and options.min_output_comm_size > 0:
        return None
    found: str = lib.xml.xmltotxt(body, options.formatting)
    return found


def trafilatura_full_text(html: str, *, markdown: bool = False) -> str | None:
    """As above with the library's full mode: readability and jusText are asked, too, and the best is taken."""
    return _plain_library(html, markdown=markdown, fast=False)


def accelerated() -> bool:
    """Whether the installed trafilatura is one whose hot spots are known."""
    return _library() is not None


def mark(tree: HtmlElement, words: WordTable, replaced: int) -> None:
    """Write on each element which tests on attributes it passes; on the root, which any element passes.

    `replaced` are the bits of an element with the attribute data-lp-replacement-content, whatever its value.
    """
    owners: list[HtmlElement] = []
    values: list[bytes] = []
    roles: list[int] = []
    present = 0
    for element in tree.iterdescendants():
        seen: tuple[str, ...] = ()
        for name, value in element.items():
            if name in _ROLES:
                owners.append(element)
                values.append(value.encode())
                roles.append(_ROLES[name][seen])
                if name in _ORDERED:
                    seen = (*seen, name)
            elif name == "data-lp-replacement-content":
                element.set(_MARK, str(replaced))
                present |= replaced
    for element, bits in zip(owners, words.bits_of(values, roles), strict=True):
        if bits:
            element.set(_MARK, str(int(element.get(_MARK, 0)) | bits))
            present |= bits
    tree.getroottree().getroot().set(_PRESENT, str(present))


def _cascade(lib: _Library, tree: HtmlElement, options: Any) -> tuple[Any, str]:
    """core.trafilatura_sequence in fast mode without comments: main extractor, baseline, a second try for recall."""
    core = lib.core
    is_forum = core._forum_thread_page(tree)
    core.prune_unwanted_nodes(tree, core.RAW_TREE_PRUNE_XPATH)
    if not is_forum:
        core.prune_unwanted_nodes(tree, core.REMOVE_COMMENTS_AND_LISTS_XPATH)
    body, text = _main_text(core, tree, options)
    if len(text) < options.min_extracted_size:
        other, other_text, length = core.baseline(tree)
        if length > len(text):
            body, text = other, other_text
    if 0 < len(text) < core.ESCALATION_MAX_LENGTH and _covers_little(core, tree, len(text)):
        again, again_text = _main_text(core, tree, lib.recall[options.formatting])
        length = len(again_text)
        if length >= options.min_extracted_size and length > core.ESCALATION_ACCEPT_RATIO * len(text):
            body, text = again, again_text
    return body, text


def _main_text(core: ModuleType, tree: HtmlElement, options: Any) -> tuple[Any, str]:
    cleaned = core.convert_tags(core.tree_cleaning(copy(tree), options), options, None)
    found: tuple[Any, str] = core.extract_content(cleaned, options)
    return found


def _covers_little(core: ModuleType, tree: HtmlElement, length: int) -> bool:
    """Whether a text of this length is less than a fifth of the page's. The page is cleaned only if that may matter."""
    body = tree.find(".//body")
    if body is not None:
        at_most = len(" ".join(body.text_content().split())) + 2 * int(_COUNT(body))
        if length >= core.ESCALATION_PAGE_SHARE * at_most:
            return False
    covered: bool = length < core.ESCALATION_PAGE_SHARE * len(core.html2txt(tree))
    return covered


def _drop_invisible(tree: HtmlElement, delete_element: Any) -> None:
    """Scripts and styles go before the tree is copied, as they would from every copy; embedded JSON is looked into."""
    for element in list(tree.iterdescendants("script", "style", "svg", "template")):
        if element.tag != "script" or element.get("type") != "application/ld+json":
            delete_element(element)


_COUNT = etree.XPath("count(descendant::*)")


class _ByMark:
    """Stands for XPath expressions: elements of some tags (any, if empty) that carry one of some bits."""

    def __init__(self, *choices: tuple[frozenset[str], int]) -> None:
        self.choices = choices
        self.mask = sum(bits for _, bits in choices)

    def __call__(self, tree: Any) -> list[Any]:
        if not int(tree.getroottree().getroot().get(_PRESENT, -1)) & self.mask:
            return []
        found = []
        for element in _MARKED(tree):
            bits = int(element.get(_MARK)) & self.mask
            if bits:
                tag = element.tag
                for tags, wanted in self.choices:
                    if bits & wanted and (not tags or tag in tags):
                        found.append(element)
                        break
        return found


class _Questions:
    """Brackets of expressions, each with a bit of its own."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.count = 0

    def ask(self, expression: Any, brackets: int = 1) -> list[int]:
        """The bits of an expression's brackets. Raises ValueError if it has another number of them."""
        found = predicates(expression.path)
        if len(found) != brackets:
            raise ValueError(f"{expression.path}: {brackets} tests on attributes expected")
        bits = []
        for terms in found:
            self.words += words_of(terms, self.count)
            bits.append(1 << self.count)
            self.count += 1
        return bits

    def one(self, expression: Any) -> int:
        """The bit of an expression with one bracket."""
        (bit,) = self.ask(expression)
        return bit


class _Library:
    """The private copy, its replacements in place."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self.core, self.utils, self.xml = modules["core"], modules["utils"], modules["xml"]
        asked = _Questions()
        self.replaced = _replace(modules, asked)
        self.words = build(asked.words)
        self.options = {
            markdown: modules["settings"].Extractor(
                output_format="markdown" if markdown else "python", fast=True, comments=False
            )
            for markdown in (False, True)
        }
        self.recall = {
            markdown: modules["settings"].Extractor(
                output_format="markdown" if markdown else "python", fast=True, comments=False, recall=True
            )
            for markdown in (False, True)
        }


@lru_cache(maxsize=1)
def _library() -> _Library | None:
    found = importlib.util.find_spec("trafilatura")
    if found is None or found.origin is None:
        return None
    folder = str(Path(found.origin).parent)
    spec = importlib.util.spec_from_file_location(_PRIVATE, found.origin, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        return None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PRIVATE] = package
    try:
        spec.loader.exec_module(package)
        names = ("core", "utils", "xml", "settings", "baseline", "htmlprocessing", "main_extractor")
        return _Library({name: importlib.import_module(f"{_PRIVATE}.{name}") for name in names})
    except (ImportError, AttributeError, IndexError, KeyError, ValueError):
        return None


def _replace(modules: dict[str, Any], asked: _Questions) -> int:
    """Put marks in the place of expressions; the bits of data-lp-replacement-content.

    Raises AttributeError or ValueError where the library is laid out otherwise than expected.
    """
    core, body, processing = modules["core"], modules["main_extractor"], modules["htmlprocessing"]
    scroll, share = core.RAW_TREE_PRUNE_XPATH
    (comments,) = core.REMOVE_COMMENTS_AND_LISTS_XPATH
    first, article, story, content, main = body.BODY_XPATH
    chrome, hidden = body.OVERALL_DISCARD_XPATH
    (teaser,), (caption,) = body.TEASER_DISCARD_XPATH, body.DISCARD_IMAGE_ELEMENTS

    appended, anyway = asked.ask(scroll, 2)
    shared = asked.one(share)

    def appended_articles(tree: Any) -> list[Any]:
        found = _ByMark((frozenset({"div", "section", "aside"}), appended))(tree)
        return [e for e in found if int(e.get(_MARK)) & anyway or e.find(".//h1") is None]

    core.RAW_TREE_PRUNE_XPATH = [appended_articles, _ByMark((frozenset({"div", "section", "aside"}), shared))]
    boxes, lists = asked.ask(comments, 2)
    # the second bracket's words are all in the first, so a list that passes it passes both
    core.REMOVE_COMMENTS_AND_LISTS_XPATH = [
        _ByMark((frozenset({"div", "list", "section", "details"}), boxes), (frozenset({"ol", "ul"}), lists))
    ]
    framed = _ByMark((frozenset({"article", "div", "section"}), asked.one(main)))

    def main_frame(tree: Any) -> list[Any]:
        """The last expression is a union, whose first node in the document's order is taken."""
        found = [*framed(tree)[:1], *islice(tree.iterdescendants("main"), 1)]
        return sorted(found, key=_place)[:1]

    body.BODY_XPATH = [
        _ByMark((_FRAMES, asked.one(first))),
        article,
        _ByMark((_FRAMES, asked.one(story))),
        _ByMark((_FRAMES, asked.one(content))),
        main_frame,
    ]
    replaced = asked.one(chrome)
    body.OVERALL_DISCARD_XPATH = [_ByMark((_BLOCKS, replaced), (frozenset(), asked.one(hidden)))]
    body.TEASER_DISCARD_XPATH = [_ByMark((_BLOCKS, asked.one(teaser)))]
    body.DISCARD_IMAGE_ELEMENTS = [_ByMark((_BLOCKS, asked.one(caption)))]
    footer, consent = asked.ask(modules["baseline"].BASIC_CLEAN_XPATH, 2)

    def basic_clean(tree: Any) -> list[Any]:
        found = []
        for element in _CLEANED(tree):
            tag = element.tag
            if tag in _ALWAYS_CLEANED:
                found.append(element)
            else:
                mark = element.get(_MARK)
                if mark is not None and int(mark) & (footer | consent if tag == "div" else consent):
                    found.append(element)
        return found

    modules["baseline"].BASIC_CLEAN_XPATH = basic_clean
    core.prune_unwanted_nodes = body.prune_unwanted_nodes = _pruning(modules["xml"].delete_element)
    processing.link_density_test = _link_density_test(processing)
    body.prune_unwanted_sections = _sections(body)
    modules["utils"].HTML_PARSER = _one_class_parser()
    return replaced


def _pruning(delete_element: Any) -> Any:
    def prune_unwanted_nodes(tree: Any, nodelist: list[Any], with_backup: bool = False) -> Any:
        """As htmlprocessing.prune_unwanted_nodes; where nothing matches, the text of the page is not collected."""
        if not with_backup:
            for expression in nodelist:
                for subtree in expression(tree):
                    delete_element(subtree)
            return tree
        matches = dict.fromkeys(element for expression in nodelist for element in expression(tree))
        if not matches:
            return tree
        outer = [element for element in matches if not any(a in matches for a in element.iterancestors())]
        old_length = len(tree.text_content())
        if old_length - sum(len(element.text_content()) for element in outer) > old_length / 7:
            for element in outer:
                delete_element(element)
        return tree

    return prune_unwanted_nodes


def _sections(body: ModuleType) -> Any:
    whole = body.prune_unwanted_sections

    def prune_unwanted_sections(tree: Any, potential_tags: set[str], options: Any, keep_teasers: bool = False) -> Any:
        """As main_extractor.prune_unwanted_sections; the second round is left out if the first has changed nothing."""
        if options.focus == "precision":
            return whole(tree, potential_tags, options, keep_teasers)
        tree = body.prune_unwanted_nodes(tree, body.OVERALL_DISCARD_XPATH, with_backup=True)
        if "graphic" not in potential_tags:
            tree = body.prune_unwanted_nodes(tree, body.DISCARD_IMAGE_ELEMENTS)
        if options.focus != "recall" and not keep_teasers:
            tree = body.prune_unwanted_nodes(tree, body.TEASER_DISCARD_XPATH)
        for _ in range(2):
            before = _COUNT(tree)
            body.delete_by_link_density(tree, "div", backtracking=True)
            body.delete_by_link_density(tree, "list")
            body.delete_by_link_density(tree, "p")
            if _COUNT(tree) == before:
                break
        if "table" in potential_tags:
            for table in [t for t in tree.iter("table") if body.link_density_test_tables(t)]:
                body.delete_element(table, keep_tail=False)
        body.strip_tags(tree, "span", *(() if "ref" in potential_tags else ("ref",)))
        return tree

    return prune_unwanted_sections


def _link_density_test(processing: ModuleType) -> Any:
    whole = processing.link_density_test

    def link_density_test(element: Any, favor_precision: bool = False) -> tuple[bool, bool]:
        """As htmlprocessing.link_density_test, asked only where there is a link, and no picture, in the element."""
        if next(element.iterdescendants("ref"), None) is None:
            return False, False
        if next(element.iterdescendants("graphic"), None) is not None:
            return False, False
        answer: tuple[bool, bool] = whole(element, favor_precision)
        return answer

    return link_density_test


def _one_class_parser() -> HTMLParser:
    """The library's parser, but for the class of elements: lxml.html asks a Python function for each."""
    parser = HTMLParser(
        collect_ids=False, default_doctype=False, encoding="utf-8", remove_comments=True, remove_pis=True
    )
    parser.set_element_class_lookup(
        etree.ElementDefaultClassLookup(element=HtmlElement, comment=HtmlComment, pi=HtmlProcessingInstruction)
    )
    return parser


def _place(element: Any) -> tuple[int, ...]:
    """Where an element stands in its document, for comparison."""
    steps = []
    parent = element.getparent()
    while parent is not None:
        steps.append(parent.index(element))
        element, parent = parent, parent.getparent()
    return tuple(reversed(steps))


def _plain_library(html: str, *, markdown: bool, fast: bool) -> str | None:
    from trafilatura import bare_extraction

    found = bare_extraction(
        html, fast=fast, include_comments=False, with_metadata=False, include_formatting=markdown
    )  # fmt: skip
    return None if found is None or isinstance(found, dict) else found.text
