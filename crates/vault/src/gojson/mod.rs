//! Text as Go writes it: `strconv.Quote` for names, `encoding/json` for strings.
//!
//! Trees are named by the hash of their bytes, and restic's `rewrite` refuses a tree that it cannot
//! encode again byte for byte. So names and link targets are written exactly as current Go does;
//! what any other version or program writes is read.

mod printable;
pub mod scan;

use printable::is_print;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `name` as `strconv.Quote` has it, without the quotes around it. Names are bytes: what is
/// not UTF-8 becomes `\xNN`.
pub fn quote(out: &mut String, name: &[u8]) {
    for piece in name.utf8_chunks() {
        piece.valid().chars().for_each(|c| quote_char(out, c));
        piece
            .invalid()
            .iter()
            .for_each(|&byte| push_hex(out, "\\x", u32::from(byte), 2));
    }
}

fn quote_char(out: &mut String, c: char) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if is_print(c) => out.push(c),
        c if c < ' ' || c == '\x7f' => push_hex(out, "\\x", c.into(), 2),
        c if c < '\u{10000}' => push_hex(out, "\\u", c.into(), 4),
        c => push_hex(out, "\\U", c.into(), 8),
    }
}

fn push_hex(out: &mut String, prefix: &str, value: u32, digits: u32) {
    out.push_str(prefix);
    for digit in (0..digits).rev() {
        out.push(char::from(HEX[(value >> (4 * digit) & 15) as usize]));
    }
}

/// Reverses [`quote`], for anything that Go's `strconv.Unquote` takes between double quotes. `None`
/// for what it refuses.
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(special) = rest.iter().position(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(&rest[..special]);
        if rest[special] != b'\\' {
            return None;
        }
        let (&kind, after) = rest[special + 1..].split_first()?;
        rest = after;
        let mut digits = |count: usize, radix: u32| {
            let (digits, after) = rest.split_at_checked(count)?;
            rest = after;
            digits.iter().try_fold(0_u32, |value, &digit| {
                value
                    .checked_mul(radix)?
                    .checked_add(char::from(digit).to_digit(radix)?)
            })
        };
        match kind {
            b'a' => out.push(0x07),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            b'\\' | b'"' => out.push(kind),
            b'x' => out.push(digits(2, 16)? as u8),
            b'u' => push_char(&mut out, digits(4, 16)?)?,
            b'U' => push_char(&mut out, digits(8, 16)?)?,
            b'0'..=b'7' => {
                let low = digits(2, 8)?;
                out.push(u8::try_from(u32::from(kind - b'0') * 64 + low).ok()?);
            }
            _ => return None,
        }
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn push_char(out: &mut Vec<u8>, value: u32) -> Option<()> {
    let c = char::from_u32(value)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// Whether `text` stands in JSON as it is, quoted or not: printable ASCII without what needs an escape.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|&b| (0x20..0x7f).contains(&b) && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&'))
}

/// Appends a JSON string with its quotes as `encoding/json` writes it, HTML escaping included. What is not
/// UTF-8 becomes `\ufffd`, byte by byte.
pub fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        for piece in text.utf8_chunks() {
            push_json_escaped(out, piece.valid().as_bytes());
            piece
                .invalid()
                .iter()
                .for_each(|_| out.extend_from_slice(b"\\ufffd"));
        }
    }
    out.push(b'"');
}

fn push_json_escaped(out: &mut Vec<u8>, valid: &[u8]) {
    let mut from = 0;
    let mut at = 0;
    while at < valid.len() {
        let byte = valid[at];
        // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        let separator = byte == 0xe2
            && valid.get(at + 1) == Some(&0x80)
            && matches!(valid.get(at + 2), Some(0xa8 | 0xa9));
        let short: Option<&[u8]> = match byte {
            b'"' => Some(b"\\\""),
            b'\\' => Some(b"\\\\"),
            b'\n' => Some(b"\\n"),
            b'\r' => Some(b"\\r"),
            b'\t' => Some(b"\\t"),
            0x08 => Some(b"\\b"),
            0x0c => Some(b"\\f"),
            _ => None,
        };
        let length = if separator { 3 } else { 1 };
        if short.is_none() && !separator && byte >= 0x20 && !matches!(byte, b'<' | b'>' | b'&') {
            at += 1;
            continue;
        }
        out.extend_from_slice(&valid[from..at]);
        match short {
            Some(escape) => out.extend_from_slice(escape),
            None if separator => {
                out.extend_from_slice(b"\\u202");
                out.push(HEX[usize::from(valid[at + 2] & 15)]);
            }
            None => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        at += length;
        from = at;
    }
    out.extend_from_slice(&valid[from..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(name: &[u8]) -> String {
        let mut out = String::new();
        quote(&mut out, name);
        out
    }

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_as_go_does() {
        // Each line is what `strconv.Quote` of Go 1.26 answered.
        for (name, expected) in GO_QUOTE {
            assert_eq!(quoted(name), *expected);
            assert_eq!(unquote(expected).as_deref(), Some(*name));
        }
    }

    #[test]
    fn writes_json_as_go_does() {
        assert_eq!(json(br#"a<b>&"q\x"#), r#""a\u003cb\u003e\u0026\"q\\x""#);
        assert_eq!(
            json("\u{2028}\u{2029}é\u{7f}".as_bytes()),
            "\"\\u2028\\u2029é\u{7f}\""
        );
        assert_eq!(
            json(b"\x00\x08\x0c\n\r\t\x1f"),
            r#""\u0000\b\f\n\r\t\u001f""#
        );
        assert_eq!(json(b"a\xff\xe2\x80b"), r#""a\ufffd\ufffd\ufffdb""#);
    }

    #[test]
    fn refuses_what_go_refuses() {
        for bad in [
            "\"",
            "\n",
            "\\",
            "\\x",
            "\\x1",
            "\\xg0",
            "\\u12",
            "\\ud800",
            "\\U00110000",
            "\\'",
            "\\q",
            "\\400",
            "\\08",
            "\\u+123",
        ] {
            assert_eq!(unquote(bad), None, "{bad:?}");
        }
        assert_eq!(unquote("\\101\\377").as_deref(), Some(&b"A\xff"[..]));
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unquote(&quoted(&name)), Some(name));
        }

        #[test]
        fn any_text_comes_back(text in ".*") {
            prop_assert_eq!(unquote(&quoted(text.as_bytes())), Some(text.clone().into_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json(text.as_bytes())).ok(), Some(text));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = unquote(&text);
        }
    }

    const GO_QUOTE: &[(&[u8], &str)] = &[
        (b"\x70\x6c\x61\x69\x6e", r##"plain"##),
        (
            b"\x77\x69\x74\x68\x20\x73\x70\x61\x63\x65",
            r##"with space"##,
        ),
        (
            b"\x71\x75\x6f\x74\x65\x22\x62\x61\x63\x6b\x5c\x73\x6c\x61\x73\x68",
            r##"quote\"back\\slash"##,
        ),
        (b"\x61\x3c\x62\x3e\x26\x27", r##"a<b>&'"##),
        (b"\x07\x08\x0c\x0a\x0d\x09\x0b", r##"\a\b\f\n\r\t\v"##),
        (b"\x00\x01\x1b\x7f", r##"\x00\x01\x1b\x7f"##),
        (
            b"\x63\x61\x66\xc3\xa9\x20\xe4\xb8\xad\xf0\x9f\x98\x80",
            r##"café 中😀"##,
        ),
        (
            b"\xc2\xad\xe2\x80\x8b\xef\xbb\xbf\xe2\x80\xa8\xc2\xa0\xc2\x85",
            r##"\u00ad\u200b\ufeff\u2028\u00a0\u0085"##,
        ),
        (b"\xff\xfe\xc3\x28", r##"\xff\xfe\xc3("##),
        (b"\xed\xa0\x80", r##"\xed\xa0\x80"##),
        (b"\xf0\x9f\x98", r##"\xf0\x9f\x98"##),
        (
            b"\xf3\xa0\x80\x81\xf4\x80\x80\x80\xcd\xb8\xee\x80\x80",
            r##"\U000e0001\U00100000\u0378\ue000"##,
        ),
        (b"\xef\xbf\xbd", r##"�"##),
        (b"\x65\xcc\x81", r##"é"##),
        (b"\xf0\x9f\xab\xa8\xe0\xa1\xb0", r##"🫨ࡰ"##),
    ];
}
