//! Bars as SVG: readable by day and by night, and without a script.

use std::fmt::Write as _;

/// One bar.
pub struct Bar {
    /// Whose.
    pub label: String,
    /// How long.
    pub value: f64,
    /// Smallest and largest of its runs.
    pub range: (f64, f64),
    /// Whether it is ours.
    pub ours: bool,
}

/// Bars that are compared with each other.
pub struct Group {
    /// What they measure.
    pub title: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

const WIDTH: f64 = 720.0;
const LABEL: f64 = 130.0;
const VALUE: f64 = 90.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
const TITLE: f64 = 34.0;

/// A drawing of all groups, one below the other, each with a scale of its own.
pub fn draw(title: &str, unit: &str, groups: &[Group]) -> String {
    let height: f64 = groups
        .iter()
        .map(|group| TITLE + STEP * group.bars.len() as f64)
        .sum::<f64>()
        + 44.0;
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{0}" font-family="sans-serif" font-size="13">
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
<text x="12" y="26" font-size="16" font-weight="bold" fill="#1a1a1a">{0}</text>
"##,
        escape(title)
    );
    let mut y = 40.0;
    for group in groups {
        let _ = writeln!(
            out,
            r##"<text x="12" y="{:.0}" font-weight="bold" fill="#444444">{}</text>"##,
            y + 20.0,
            escape(&group.title)
        );
        y += TITLE;
        let longest = group.bars.iter().map(|bar| bar.range.1.max(bar.value));
        let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
        let room = WIDTH - LABEL - VALUE - 12.0;
        for bar in &group.bars {
            let long = |value: f64| LABEL + room * value / longest;
            let middle = y + BAR / 2.0;
            let fill = if bar.ours { "#d9480f" } else { "#8a97a8" };
            let _ = writeln!(
                out,
                r##"<text x="{:.0}" y="{:.0}" text-anchor="end" fill="#1a1a1a">{}</text><rect x="{LABEL}" y="{y:.0}" width="{:.1}" height="{BAR}" fill="{fill}"/><path d="M{:.1} {middle:.0}H{:.1}" stroke="#1a1a1a" stroke-width="1.5"/><text x="{:.1}" y="{:.0}" fill="#1a1a1a">{} {unit}</text>"##,
                LABEL - 8.0,
                y + 13.0,
                escape(&bar.label),
                (long(bar.value) - LABEL).max(1.0),
                long(bar.range.0),
                long(bar.range.1),
                long(bar.range.1.max(bar.value)) + 6.0,
                y + 13.0,
                number(bar.value),
            );
            y += STEP;
        }
    }
    out += "</svg>\n";
    out
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_room_and_text_is_escaped() {
        let bar = |label: &str, value: f64| Bar {
            label: label.to_owned(),
            value,
            range: (value, value),
            ours: value < 2.0,
        };
        let groups = [Group {
            title: "a < b".to_owned(),
            bars: vec![bar("x", 1.0), bar("y", 4.0)],
        }];
        let svg = draw("t", "s", &groups);
        assert!(svg.contains("a &lt; b") && svg.contains("4.00 s"), "{svg}");
        assert!(
            svg.contains(r#"width="488.0""#) && svg.contains(r#"width="122.0""#),
            "{svg}"
        );
    }
}
