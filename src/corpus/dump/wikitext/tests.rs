//! What is left of wikitext.

use proptest::prelude::*;

use super::*;
use crate::corpus::BlockKind;

/// Blocks are parted by ` ¶ `; headings begin with as many `=` as they have, items with `*`, code with `>`.
fn shown(stripped: &Stripped) -> String {
    let blocks = stripped.blocks.iter().map(|block| {
        let text = &stripped.text[block.span.clone()];
        match &block.kind {
            BlockKind::Heading { level, text } => format!("{} {text}", "=".repeat((*level).into())),
            BlockKind::ListItem => format!("* {text}"),
            BlockKind::Code => format!("> {text}"),
            _ => text.to_owned(),
        }
    });
    blocks.collect::<Vec<_>>().join(" ¶ ")
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let stripped = strip(source, &Namespaces::default());
    assert_eq!(shown(&stripped), expected, "{source}");
}

#[test]
fn inline_markup_goes() {
    check(
        "'''Bread''' is ''old'' and '''''good'''''.",
        "Bread is old and good.",
    );
    check("It's the dogs' day.", "It's the dogs' day.");
    check("''L'''Aurora'' is a ship.", "LAurora is a ship.");
    check("l'''Aurora'' e '''la''' nave", "l'Aurora e la nave");
    check("''''Tis'''", "'Tis");
    check(
        "a <b>b</b> <small>c</small><br/>d <!-- e\n\n -->f",
        "a b c d f",
    );
    check("x < y and y > z, <foo> too", "x < y and y > z, <foo> too");
    check(
        "AT&amp;T &ndash; 5&nbsp;km &#8364; &unknown; &",
        "AT&T – 5 km € &unknown; &",
    );
    check(
        "H<sub>2</sub>O __NOTOC__ __KEIN_INHALTSVERZEICHNIS__ my__name",
        "H2O my__name",
    );
    check(
        "<nowiki>[[a]] '''b'''</nowiki> c<nowiki/>d",
        "[[a]] '''b''' cd",
    );
    check(
        "so <math>E=mc</math> and <math>\\frac{a}{b}</math>, then",
        "so E=mc and, then",
    );
}

#[test]
fn templates_and_references_leave_no_debris() {
    check("{{Infobox|a=b\n|c={{d|e}}\n}}\n'''Riga''' is", "Riga is");
    check("'''Riga''' ({{IPA|x}}) is", "Riga is");
    check(
        "'''Riga''' ({{IPA|x}}, {{IPA|y}}; 1201) is",
        "Riga (1201) is",
    );
    check("'''Riga''' (1201, {{IPA|x}}) is", "Riga (1201) is");
    check("'''Riga''' (a, {{IPA|x}}, b) is", "Riga (a, b) is");
    check("called main() {{x}} here", "called main() here");
    check("'''北京'''（{{x}}，{{y}}）是", "北京 是");
    check(
        "A fact.<ref>Smith</ref><ref name=a/> Next<ref name=\"b\">[[c]]</ref>, {{cn}}.",
        "A fact. Next.",
    );
    check(
        "<ref name=a>text is not lost <ref>b</ref> here",
        "text is not lost here",
    );
    check("</ref>odd {{{1|}}} end}}", "odd end");
    check("{{unclosed|a\n|b=c\nText", "Text");
    check("a {{b}}c}} d", "a c d");
    check(
        "long {{convert|300|km|mi}}, {{lang|fr|''mot''}} {{circa|1500}}",
        "long 300 km, mot c. 1500",
    );
    check(
        "{{convert|5|to|10|km}} {{nowrap|a b}}{{ndash}}c {{lang-la|x {{y}} z}}",
        "5 to 10 km a b–c x z",
    );
    check(
        "{{formatnum:12345}} {{lang|de|italic=no|Wort}} {{frac|1|2}}",
        "12345 Wort 1/2",
    );
}

#[test]
fn links_show_their_text() {
    check(
        "[[Bread|loaves]] and [[butter]]s, [[Bread#History]]",
        "loaves and butters, Bread#History",
    );
    check(
        "[[File:A.jpg|thumb|A [[b]] of {{c}}]]Text [[Image:B.png]]",
        "Text",
    );
    check("[[Bild:Weg.JPG|mini|Ein [[Weg]]]] Text", "Text");
    check(
        "Text\n[[Category:Bread| ]]\n[[de:Brot]]\n[[fr:Pain]]",
        "Text",
    );
    check(
        "[[:Category:Bread]] and [[wikt:loaf|loaf]] and [[User:A|A]]",
        "Category:Bread and loaf and A",
    );
    check(
        "See [https://a.org/b a ''site''], [https://c.org] or https://d.org.",
        "See a site, or https://d.org.",
    );
    check("[[unclosed text\nnext]] line", "unclosed text next line");
    check("[[File:A.jpg|thumb|never closed\nText", "Text");
    check("an array[5] and [sic]", "an array[5] and [sic]");
    check("[[[odd]]] [[a|b|c]] [[a|]]", "[odd] b|c a");
    check(
        "-{zh-hans:计算机; zh-hant:電腦}-和-{字}--{H|zh:a}-",
        "计算机和字",
    );
}

#[test]
fn lines_become_blocks() {
    check("One\ntwo\n\nThree\n\n\n\nFour", "One two ¶ Three ¶ Four");
    check(
        "== A ==\nb\n=== C '''d''' === <!-- e -->\nf",
        "== A ¶ b ¶ === C d ¶ f",
    );
    check(
        "a\n== See ==\n== Next ==\nb\n== References ==\n{{reflist}}",
        "a ¶ == Next ¶ b",
    );
    check(
        "a\n== X ==\n=== Y ===\n=== Z ===\nb",
        "a ¶ == X ¶ === Z ¶ b",
    );
    check("= 5 is a number\nb", "5 is a number ¶ b");
    check(
        "* a\n** b [[c]]\n# d\n; e : f\n: g\nh",
        "* a ¶ * b c ¶ * d ¶ * e : f ¶ g ¶ h",
    );
    check(
        "He said:\n{{quote box|a}}\nThen he\nleft <!-- b -->\n<!-- c -->\nhere.",
        "He said: ¶ Then he left here.",
    );
    check("a\n[[File:B.jpg|thumb]]\nc {{d}}\ne", "a ¶ c e");
    check(
        "{{quote|1=a = b}} {{le|柏林|Berlin}}{{tsl|en|Berlin|柏林}}",
        "a = b 柏林柏林",
    );
    check("*\n* {{x}}\n* a", "* a");
    check("a\n----\nb", "a ¶ b");
    check(
        "a\n{| class=x\n! h\n|-\n| b || {{c}}\n{|\n| d\n|}\n|}\ne",
        "a ¶ e",
    );
    check(
        "a\n<table><tr><td>b<table></table></td></tr></table>\nc",
        "a ¶ c",
    );
    check("a\n{| class=x\n! h\n| b\n\nc", "a ¶ c");
    check("{{x|\n{|\n|a\n|}}}\nb", "b");
    check("{{x|y={{z|\n|}}\n|}}b", "b");
    check("<pre>\n  a  {{b}}\n c\n</pre> d", ">   a  {{b}}\n c ¶ d");
    check(" a\n  b\nc\n\n d\n\ne", "> a\n b ¶ c ¶ d ¶ e");
    check("<poem>\na\nb\n\nc\n</poem>d", "a\nb\n\nc ¶ d");
    check(
        "<gallery>\nA.jpg|b\n</gallery>\n<blockquote>a</blockquote>b",
        "a ¶ b",
    );
    check("<ul><li>a</li><li>b</li></ul>", "* a ¶ * b");
    check("<!-- a -->* b", "* b");
}

#[test]
fn links_and_categories_are_kept() {
    let source = "'''A''' [[B_c#D e|f ''g'']], [[#H|i]], [[J (k)]].\n[[Category:L m|n]] [[category:l M]] [[Category:O]]";
    let stripped = strip(source, &Namespaces::default());
    let links: Vec<_> = stripped
        .links
        .iter()
        .map(|link| {
            let shown = &stripped.text[link.span.clone()];
            (
                link.target.as_str(),
                link.heading.as_deref(),
                link.text.as_deref(),
                shown,
            )
        })
        .collect();
    assert_eq!(
        links,
        [
            ("B c", Some("D e"), Some("f g"), "f g"),
            ("", Some("H"), Some("i"), "i"),
            ("J (k)", None, Some("J (k)"), "J (k)"),
        ]
    );
    assert_eq!(stripped.tags, ["L m", "O"]);
}

/// Markup that opens, closes, or looks as if.
const PIECES: [&str; 54] = [
    "{{",
    "}}",
    "[[",
    "]]",
    "[[a|",
    "{{a|",
    "{|\n",
    "|}\n",
    "<ref>",
    "</ref>",
    "<ref",
    "<!--",
    "<math>",
    "<pre>",
    "''",
    "'''",
    "'",
    "[http://a ",
    "]",
    "&",
    "&a",
    "-{",
    "__",
    "=",
    "==\n",
    "= a\n",
    "*",
    "|",
    "<table>",
    "\n ",
    "\n a",
    "\n",
    " ",
    "(",
    "({{a}}",
    "){{a}}",
    ",{{a}}",
    "[[a|(",
    "{{lang|a|",
    "<gallery>",
    "<",
    "-",
    "[[File:",
    "{{{",
    "{",
    "}",
    "<li>",
    "<poem>",
    "[[a]]",
    "== a ==\n",
    "== [[a]] ==\n",
    "{{convert|",
    "<REF>",
    "<Math>",
];

/// The work on twice the text is twice the work, whatever does not close.
#[test]
fn work_is_linear() {
    let mut sources: Vec<(String, Vec<&str>)> = PIECES
        .iter()
        .map(|own| ((*own).to_owned(), vec![*own]))
        .collect();
    for (first, second) in PIECES.iter().zip(PIECES.iter().cycle().skip(7)) {
        sources.push((format!("{first} then {second}"), vec![first, second]));
    }
    for (name, parts) in sources {
        let of = |count: usize| {
            let source: String = parts.iter().map(|own| own.repeat(count)).collect();
            (strip(&source, &Namespaces::default()).steps, source.len())
        };
        let ((few, few_bytes), (many, many_bytes)) = (of(2_000), of(20_000));
        assert!(
            few <= 16 * few_bytes,
            "{name}: {few} steps on {few_bytes} bytes"
        );
        assert!(
            many <= 16 * many_bytes,
            "{name}: {many} steps on {many_bytes} bytes"
        );
    }
}

fn well_formed(source: &str) -> Result<(), TestCaseError> {
    let stripped = strip(source, &Namespaces::default());
    let text = &stripped.text;
    let mut end = 0;
    for block in &stripped.blocks {
        prop_assert!(
            block.span.start >= end && block.span.start < block.span.end,
            "{block:?}"
        );
        prop_assert!(text[end..block.span.start].trim().is_empty());
        prop_assert!(text.get(block.span.clone()).is_some());
        end = block.span.end;
    }
    prop_assert_eq!(end, text.trim_end().len());
    let mut start = 0;
    for link in &stripped.links {
        prop_assert!(
            link.span.start >= start && !link.span.is_empty(),
            "{link:?}"
        );
        prop_assert!(text.get(link.span.clone()).is_some(), "{link:?}");
        start = link.span.start;
    }
    prop_assert!(stripped.steps <= 16 * source.len() + 1_000);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read(source in any::<String>()) {
        well_formed(&source)?;
    }

    #[test]
    fn anything_like_wikitext_is_read(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{{", "}}}", "[[", "]]", "|", "{|", "|}", "|-", "!", "\n", "\n\n", "=", "== a ==", "*", "#", ":", ";",
                " ", "  ", "'", "''", "'''", "''''", "'''''", "<ref>", "</ref>", "<ref name=a/>", "<!--", "-->", "<nowiki>",
                "</nowiki>", "<math>", "</math>", "<br>", "<pre>", "</pre>", "<table>", "</table>", "<div>", "<li>", "<poem>",
                "</poem>", "&nbsp;", "&amp;", "&", "(", ")", "（", "）", ",", "，", ".", ";", "a", "B c", "ā", "漢字", "🎉", "\u{301}",
                "[http://a ", "]", "File:a.jpg", "Category:", "de:", "lang|fr|", "convert|5|km", "-{", "}-", "zh:", "__A__", "----",
                "#", "\t", "\r\n", "\u{a0}", "</", "<", ">", "/>", "c.|", "nowrap|", "formatnum:",
            ]),
            0..60,
        )
    ) {
        well_formed(&parts.concat())?;
    }
}
