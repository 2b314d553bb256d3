//! Line charts as inline SVG: no script, no font, no file beside the page.

use std::fmt::Write as _;

use super::html::escape;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// Height of a bar with its gap, room for names before and notes behind bars, width of a name in
/// narrow characters.
const BAR_STEP: f64 = 24.0;
const BAR_LEFT: f64 = 250.0;
const BAR_NOTE: f64 = 130.0;
const BAR_NAME: usize = 36;
/// More points than the chart has pixels only make the page larger.
const POINTS_MAX: usize = 600;
/// Grid lines aimed at on each axis.
const TICKS: f64 = 5.0;

/// A named line; its class in the style sheet is `line0`, `line1` ... by position.
pub(super) struct Line<'a> {
    /// Shown in the legend.
    pub(super) name: &'a str,
    /// `(x, y)`, x rising.
    pub(super) points: Vec<(f64, f64)>,
    /// Draw a dot at every point, for lines with few of them.
    pub(super) dots: bool,
}

/// A bar of a [`bar_chart`]: what it stands for, how long it is, and what is written at its end.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) note: String,
}

/// Lying bars on top of each other, the longest over the whole width. Empty for no bars.
#[must_use]
pub(super) fn bar_chart(bars: &[Bar], label: &str) -> String {
    let longest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    if longest <= 0.0 {
        return String::new();
    }
    let height = BAR_STEP * bars.len() as f64;
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{}\">\n",
        escape(label)
    );
    for (number, bar) in bars.iter().enumerate() {
        let top = BAR_STEP * number as f64;
        let length = (bar.value / longest * (WIDTH - BAR_LEFT - BAR_NOTE)).max(1.0);
        let middle = top + BAR_STEP / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"legend\" x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"dot0\" x=\"{BAR_LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" \
             height=\"{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
            BAR_LEFT - 8.0,
            escape(&shortened(&bar.name)),
            top + 4.0,
            BAR_STEP - 8.0,
            BAR_LEFT + length + 6.0,
            escape(&bar.note)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// As much of a name as there is room for.
fn shortened(name: &str) -> String {
    let mut width = 0;
    let end = name.char_indices().find(|(_, character)| {
        width += if character.is_ascii() { 1 } else { 2 };
        width > BAR_NAME
    });
    match end {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// A chart of `lines` over a common x axis. Points that are not finite are left out. Empty when
/// there is nothing to draw.
#[must_use]
pub(super) fn line_chart(lines: &[Line<'_>], x_label: &str, y_label: &str) -> String {
    let finite = |line: &Line<'_>| {
        let keep = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
        thin(&line.points.iter().filter(keep).copied().collect::<Vec<_>>())
    };
    let drawn: Vec<Vec<(f64, f64)>> = lines.iter().map(finite).collect();
    let all = drawn.iter().flatten();
    let Some(frame) = Frame::around(all) else { return String::new() };
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escape(y_label)
    );
    frame.draw_grid(&mut svg, x_label, y_label);
    for (number, (line, points)) in lines.iter().zip(&drawn).enumerate() {
        frame.draw_line(&mut svg, number, points, line.dots);
        draw_legend(&mut svg, number, line.name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Averages neighbours so that at most [`POINTS_MAX`] points remain.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(POINTS_MAX).max(1);
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / n, part.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(group).map(mean).collect()
}

/// The ranges of both axes.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn around<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> Option<Self> {
        let empty = (f64::INFINITY, f64::NEG_INFINITY);
        let widen = |range: (f64, f64), v: f64| (range.0.min(v), range.1.max(v));
        let (x, y) = points.fold((empty, empty), |(x, y), p| (widen(x, p.0), widen(y, p.1)));
        let margin = |range: (f64, f64)| {
            let span = (range.1 - range.0).max(1e-9);
            (range.0 - 0.04 * span, range.1 + 0.04 * span)
        };
        let x = if x.0 < x.1 { x } else { (x.0 - 0.5, x.1 + 0.5) };
        x.0.is_finite().then(|| Self { x, y: margin(y) })
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let right = LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT);
        let down = TOP + (self.y.1 - y) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM);
        (right, down)
    }

    fn draw_grid(&self, svg: &mut String, x_label: &str, y_label: &str) {
        let (bottom, middle) = (HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2.0);
        for value in ticks(self.y) {
            let (_, y) = self.place((self.x.0, value));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
        }
        for value in ticks(self.x) {
            let (x, _) = self.place((value, self.y.0));
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                number(value)
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"label\" x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"label\" transform=\"translate(12 {:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text>",
            HEIGHT - 6.0,
            escape(x_label),
            (TOP + bottom) / 2.0,
            escape(y_label)
        );
    }

    fn draw_line(&self, svg: &mut String, number: usize, points: &[(f64, f64)], dots: bool) {
        let mut path = String::new();
        for (index, &point) in points.iter().enumerate() {
            let (x, y) = self.place(point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
            if dots {
                let _ = writeln!(
                    svg,
                    "<circle class=\"dot{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                );
            }
        }
        let _ = writeln!(svg, "<path class=\"line{number}\" d=\"{path}\"/>");
    }
}

fn draw_legend(svg: &mut String, number: usize, name: &str) {
    let y = TOP + 10.0 + 18.0 * number as f64;
    let x = WIDTH - RIGHT - 210.0;
    let _ = writeln!(
        svg,
        "<path class=\"line{number}\" d=\"M{x} {y}h22\"/>\
         <text class=\"legend\" x=\"{}\" y=\"{}\">{}</text>",
        x + 28.0,
        y + 4.0,
        escape(name)
    );
}

/// Round numbers (1, 2 or 5 times a power of ten apart) inside a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside_the_range() {
        assert_eq!(ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!(ticks((3.1, 3.2)).iter().all(|t| (3.1..=3.2).contains(t)));
    }

    #[test]
    fn a_chart_of_nothing_is_empty_and_bad_points_are_left_out() {
        assert_eq!(line_chart(&[], "x", "y"), "");
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        let svg = line_chart(&[Line { name: "a<b", points, dots: true }], "x", "y");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN"));
    }

    #[test]
    fn bars_are_as_long_as_their_values_and_their_names_are_escaped_and_cut() {
        let bar = |name: &str, value| Bar { name: name.to_owned(), value, note: "n".to_owned() };
        assert_eq!(bar_chart(&[], "x"), "");
        assert_eq!(bar_chart(&[bar("none", 0.0)], "x"), "");
        let svg = bar_chart(&[bar("<b>", 4.0), bar(&"长".repeat(50), 2.0)], "x");
        let width = WIDTH - BAR_LEFT - BAR_NOTE;
        assert!(svg.contains(&format!("width=\"{width:.1}\"")), "{svg}");
        assert!(svg.contains(&format!("width=\"{:.1}\"", width / 2.0)), "{svg}");
        assert!(svg.contains("&lt;b&gt;") && svg.contains(&format!("{}...", "长".repeat(18))));
    }

    #[test]
    fn many_points_are_averaged() {
        let points: Vec<_> = (0..5000).map(|i| (f64::from(i), 2.0)).collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= POINTS_MAX && thinned.iter().all(|p| (p.1 - 2.0).abs() < 1e-12));
    }
}
