//! The text of a line: CyTube sends HTML.

/// A tag that is longer is none, so that an unfinished one costs no more than this.
const LONGEST_TAG: usize = 2_048;
/// The longest entity that is read, with its signs.
const LONGEST_ENTITY: usize = 12;

/// The text of this HTML: tags are left out, pictures are their titles, entities their characters. Never longer than the HTML, and
/// without control characters.
pub(super) fn text(html: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(html.len()), html);
    while let Some(at) = rest.find(['<', '&']) {
        push(&mut text, &rest[..at]);
        rest = &rest[at..];
        let (read, length) = if rest.starts_with('<') { tag(rest) } else { entity(rest) };
        push(&mut text, &read);
        rest = &rest[length..];
    }
    push(&mut text, rest);
    text
}

fn push(text: &mut String, more: &str) {
    text.extend(more.chars().map(|c| if c == '\n' { ' ' } else { c }).filter(|c| !c.is_control()));
}

/// What a tag says, and how long it is. A sign that begins none is itself.
fn tag(rest: &str) -> (String, usize) {
    let itself = || ("<".to_owned(), 1);
    let begin = &rest[..rest.floor_char_boundary(LONGEST_TAG)];
    if !begin[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')) {
        return itself();
    }
    let mut quote = None;
    let end = begin.bytes().position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) => {
            quote = Some(open).filter(|_| byte != open);
            false
        }
        _ => false,
    });
    let Some(end) = end else { return itself() };
    let inside = &begin[1..end];
    let name = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let says = match name.to_ascii_lowercase().as_str() {
        "img" => {
            attribute(inside, "title").or_else(|| attribute(inside, "alt")).map(entities).unwrap_or_default()
        }
        "br" => " ".to_owned(),
        _ => String::new(),
    };
    (says, end + 1)
}

/// The value of an attribute, in quotes.
fn attribute<'a>(inside: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = inside;
    while let Some((before, after)) = rest.split_once('=') {
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            rest = after;
            continue;
        };
        let (value, behind) = after[1..].split_once(quote)?;
        if before.rsplit(char::is_whitespace).next().is_some_and(|word| word.eq_ignore_ascii_case(name)) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

fn entities(value: &str) -> String {
    let (mut text, mut rest) = (String::new(), value);
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        let (read, length) = entity(&rest[at..]);
        text.push_str(&read);
        rest = &rest[at + length..];
    }
    text + rest
}

/// What an entity means, and how long it is. A sign that begins none is itself.
fn entity(rest: &str) -> (String, usize) {
    let begin = &rest[..rest.floor_char_boundary(LONGEST_ENTITY)];
    let read = || {
        let name = &begin[1..begin.find(';')?];
        let number = name.strip_prefix('#').map(|number| match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        let c = match (number, name) {
            (Some(number), _) => char::from_u32(number?)?,
            (None, "amp") => '&',
            (None, "lt") => '<',
            (None, "gt") => '>',
            (None, "quot") => '"',
            (None, "apos") => '\'',
            (None, "nbsp") => ' ',
            _ => return None,
        };
        Some((c.to_string(), name.len() + 2))
    };
    read().unwrap_or_else(|| ("&".to_owned(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_what_is_read() {
        for (html, typed) in [
            ("hello", "hello"),
            ("&lt;b&gt; &amp;amp; &quot;x&quot; &#39;&#40;&#41;", "<b> &amp; \"x\" '()"),
            ("<strong>bold</strong> and <em>not</em>", "bold and not"),
            (
                "see <a href=\"https://example.org/?a=1&amp;b=2\" target=\"_blank\" rel=\"noopener noreferrer\">\
                 https://example.org/?a=1&amp;b=2</a>!",
                "see https://example.org/?a=1&b=2!",
            ),
            ("<img class=\"channel-emote\" src=\"x>y\" title=\":kappa:\">", ":kappa:"),
            ("<img src='x' alt='a picture' />", "a picture"),
            ("<img data-title=\"no\" src=x>", ""),
            ("a<br>b", "a b"),
            ("a &#x1F980; b &#128512;", "a 🦀 b 😀"),
            (
                "3 < 4 & 5 > 4 &unknown; &; &#; &#xD800; &#99999999999;",
                "3 < 4 & 5 > 4 &unknown; &; &#; &#xD800; &#99999999999;",
            ),
            ("<", "<"),
            ("<a href=\"x", "<a href=\"x"),
            ("nul&#0;\0 and bell\u{7}", "nul and bell"),
        ] {
            assert_eq!(text(html), typed, "{html}");
        }
    }

    #[test]
    fn a_line_that_never_ends_its_tags_is_read_in_time() {
        let odd = "<a ".repeat(20_000);
        assert_eq!(text(&odd), odd);
    }
}
