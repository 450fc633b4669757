//! Reading what programs write nearly always: JSON without blanks, fields in their order, plain text. Several times as
//! fast as a parser that takes everything, and no parser of its own: whoever meets anything else (`None`) begins again with
//! the other one, so nothing is taken here that is refused there, nor understood otherwise.

/// Bytes of JSON that are not read yet.
pub struct Scan<'a>(&'a [u8]);

/// Values of hex digits; all else is 0xff.
const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let digits = *b"0123456789abcdef";
    let mut value = 0;
    while value < 16 {
        table[digits[value] as usize] = value as u8;
        value += 1;
    }
    table
};

impl<'a> Scan<'a> {
    /// At the beginning of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes exactly these bytes, if they are next.
    #[inline]
    pub fn eat(&mut self, word: &[u8]) -> bool {
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Takes these bytes or gives up.
    #[inline]
    pub fn need(&mut self, word: &[u8]) -> Option<()> {
        self.eat(word).then_some(())
    }

    /// A natural number as JSON has it.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(digits);
        let bad = digits == 0
            || digits > 19
            || (digits > 1 && number[0] == b'0')
            || matches!(rest.first(), Some(b'.' | b'e' | b'E'));
        if bad {
            return None;
        }
        self.0 = rest;
        Some(number.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')))
    }

    /// A smaller one.
    #[inline]
    pub fn number32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// A string of ASCII without anything escaped.
    #[inline]
    pub fn plain(&mut self) -> Option<&'a str> {
        let rest = self.0.strip_prefix(b"\"")?;
        let special = |b: &u8| !(0x20..0x7f).contains(b) || matches!(b, b'"' | b'\\');
        let end = rest.iter().position(special)?;
        if rest[end] != b'"' {
            return None;
        }
        self.0 = &rest[end + 1..];
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// 64 lower-case hex digits in quotes.
    #[inline]
    pub fn id(&mut self) -> Option<[u8; 32]> {
        let (text, rest) = self.0.split_at_checked(66)?;
        let digits = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let (mut id, mut bad) = ([0; 32], 0);
        for (byte, [high, low]) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
            let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
            bad |= high | low;
            *byte = high << 4 | (low & 15);
        }
        self.0 = rest;
        (bad < 16).then_some(id)
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// The end, but for blanks.
    pub fn end(&self) -> Option<()> {
        let blank = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t');
        self.0.iter().all(blank).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_usual_and_leaves_the_rest() {
        let number = |text: &str| Scan::new(text.as_bytes()).number();
        assert_eq!(
            (number("0,"), number("1234567890123456789}")),
            (Some(0), Some(1_234_567_890_123_456_789))
        );
        for other in ["", "-1", "01", "1.5", "1e3", "12345678901234567890"] {
            assert_eq!(number(other), None, "{other}");
        }
        assert_eq!(Scan::new(b"4294967296").number32(), None);
        let plain = |text: &'static str| Scan::new(text.as_bytes()).plain();
        assert_eq!((plain("\"a b\"x"), plain("\"\"")), (Some("a b"), Some("")));
        for other in [
            "",
            "a",
            "\"a",
            "\"a\\\"",
            "\"\u{e4}\"",
            "\"a\u{7}\"",
            "null",
        ] {
            assert_eq!(plain(other), None, "{other}");
        }
        let id = |digits: String| Scan::new(format!("\"{digits}\"").as_bytes()).id();
        assert_eq!(id("0f".repeat(32)), Some([15; 32]));
        for other in ["0F", "0g", " 0", "\"\""] {
            assert_eq!(id(other.repeat(32)), None, "{other}");
        }
        assert_eq!(id("0f".repeat(31)), None);
        assert!(Scan::new(b" \n").end().is_some() && Scan::new(b"x").end().is_none());
    }
}
