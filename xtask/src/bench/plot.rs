//! Lines as SVG, both axes logarithmic: what grows as its cause does is a straight line of slope one.

use std::fmt::Write as _;

/// One line.
pub struct Line {
    /// What it shows.
    pub label: String,
    /// Its points; zero and less have no place here.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 44.0;
const RIGHT: f64 = 190.0;
const BOTTOM: f64 = 48.0;
const COLOURS: [&str; 4] = ["#d9480f", "#1c5d99", "#3d8b37", "#7a4fa3"];
/// So that colour is never the only difference.
const DASHES: [&str; 4] = ["", "6 3", "2 3", "9 3 2 3"];

/// A drawing of lines over one axis.
pub fn draw(title: &str, across: &str, up: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (x_from, x_to) = decades(all().map(|p| p.0));
    let (y_from, y_to) = decades(all().map(|p| p.1));
    let x = |v: f64| LEFT + (WIDTH - LEFT - RIGHT) * (v.log10() - x_from) / (x_to - x_from);
    let y =
        |v: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v.log10() - y_from) / (y_to - y_from);
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="bold" fill="#1a1a1a">{title}</text>
<text x="12" y="{:.0}" fill="#444444">{up}</text>
<text x="{:.0}" y="{:.0}" text-anchor="end" fill="#444444">{across}</text>
"##,
        TOP - 4.0,
        WIDTH - RIGHT,
        HEIGHT - 10.0
    );
    let steps = |from: f64, to: f64| (from as i32..=to as i32).map(|n| 10f64.powi(n));
    for tick in steps(x_from, x_to) {
        let at = x(tick);
        let _ = writeln!(
            out,
            r##"<path d="M{at:.1} {TOP}V{:.1}" stroke="#dddddd"/><text x="{at:.1}" y="{:.1}" text-anchor="middle" fill="#444444">{}</text>"##,
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            short(tick)
        );
    }
    for tick in steps(y_from, y_to) {
        let at = y(tick);
        let _ = writeln!(
            out,
            r##"<path d="M{LEFT} {at:.1}H{:.1}" stroke="#dddddd"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#444444">{}</text>"##,
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    for (n, line) in lines.iter().enumerate() {
        let (colour, dash) = (COLOURS[n % 4], DASHES[n % 4]);
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b)))
            .collect();
        let below = TOP + 18.0 * n as f64 + 12.0;
        let _ = writeln!(
            out,
            r##"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/><path d="M{:.0} {:.0}h26" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/><text x="{:.0}" y="{below:.0}" fill="#1a1a1a">{}</text>"##,
            path.join(" "),
            WIDTH - RIGHT + 12.0,
            below - 4.0,
            WIDTH - RIGHT + 44.0,
            line.label
        );
    }
    out += "</svg>\n";
    out
}

/// Whole powers of ten around some figures, as exponents.
fn decades(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut from, mut to) = (f64::MAX, f64::MIN);
    for figure in figures.filter(|figure| *figure > 0.0) {
        from = from.min(figure.log10().floor());
        to = to.max(figure.log10().ceil());
    }
    if from > to {
        return (0.0, 1.0);
    }
    (from, to.max(from + 1.0))
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_evenly_is_a_straight_line() {
        let line = Line {
            label: "first".to_owned(),
            points: vec![(10.0, 1.0), (100.0, 10.0), (1000.0, 100.0)],
        };
        let svg = draw("t", "files", "seconds", &[line]);
        assert!(
            svg.contains(r#"points="70.0,292.0 300.0,168.0 530.0,44.0""#),
            "{svg}"
        );
        assert!(svg.contains(">1k<") && svg.contains(">100<"), "{svg}");
        draw("t", "x", "y", &[]);
    }
}
