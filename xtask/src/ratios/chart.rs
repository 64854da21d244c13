//! A table as a chart: one bar for each side of a row.

use std::path::Path;

use super::table::{Line, Section};
use crate::failure::Failure;

/// The left end of the bars, at least.
const LEFT: f64 = 240.0;
/// The width of a character of a label, about.
const CHARACTER: f64 = 6.7;
/// The longest bar.
const LONGEST: f64 = 330.0;
/// Room behind the longest bar for its number.
const NUMBER: f64 = 190.0;
const THICK: f64 = 12.0;
/// Between a bar, or its limit, and its words.
const GAP: f64 = 6.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.head { font-weight: 600; font-size: 14px; }
.note { fill: #57606a; }
.page { fill: #ffffff; }
.ours { fill: #0969da; }
.peer { fill: #afb8c1; }
.bar { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .page { fill: #0d1117; }
  .ours { fill: #4493f8; }
  .peer { fill: #59636e; }
  .bar { stroke: #ff7b72; }
}
";

/// Escapes text for SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A page that is drawn from the top down.
struct Page {
    /// The left end of the bars.
    left: f64,
    y: f64,
    body: String,
}

impl Page {
    fn text(&mut self, x: f64, class: &str, text: &str) {
        let (y, text) = (self.y + THICK - 2.0, escaped(text));
        self.body += &format!("<text x=\"{x:.0}\" y=\"{y:.0}\" class=\"{class}\">{text}</text>\n");
    }

    /// One bar and its limit, and words beside it. They stand behind a limit that would go through them.
    fn bar(&mut self, class: &str, length: f64, limit: Option<f64>, words: &str) {
        let (left, y) = (self.left, self.y);
        self.body += &format!(
            "<rect x=\"{left:.0}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{THICK:.0}\" class=\"{class}\"/>\n"
        );
        if let Some(limit) = limit {
            let (x, top, bottom) = (left + limit, y - 4.0, y + THICK + 1.0);
            self.body += &format!("<path d=\"M{x:.1} {top:.0}V{bottom:.0}\" class=\"bar\"/>\n");
        }
        let end = length + 2.0 * GAP + CHARACTER * words.chars().count() as f64;
        let behind = limit.filter(|limit| (length..end).contains(limit)).unwrap_or(length);
        self.text(left + behind + GAP, "note", words);
        self.y += THICK + 2.0;
    }
}

/// A chart as SVG, with what it shows, and a sentence below. Every section has its own scale: of nanoseconds, or of operations a
/// second.
pub(super) fn draw(sections: &[Section], title: &str, note: &str, machine: &str) -> String {
    let labels = sections.iter().flat_map(|section| &section.lines).map(|line| line.what.chars().count());
    let label = CHARACTER * labels.max().unwrap_or(0) as f64;
    let mut page = Page { left: LEFT.max(16.0 + label + 8.0), y: 16.0, body: String::new() };
    for section in sections {
        let of = |ns: f64| if section.is_rate { 1e9 / ns } else { ns };
        let allowed = |line: &Line| line.allowed().map(of);
        let longest = |line: &Line| of(line.own.middle).max(of(line.other)).max(allowed(line).unwrap_or(0.0));
        let scale = LONGEST / section.lines.iter().map(longest).fold(1.0, f64::max);
        page.text(
            16.0,
            "head",
            &format!("{}, {}", section.title, if section.is_rate { "a second" } else { "ns a call" }),
        );
        page.y += THICK + 12.0;
        for line in &section.lines {
            let (ours, other) = (of(line.own.middle), of(line.other));
            page.text(16.0, "", &line.what);
            let limit = allowed(line).map(|limit| limit * scale);
            if section.base().is_some() {
                page.bar("ours", ours * scale, limit, &format!("{ours:.0}"));
            } else {
                page.bar("ours", ours * scale, limit, &format!("{ours:.0} ours, {:.2} ×", ours / other));
                page.bar("peer", other * scale, None, &format!("{other:.0} {}", line.beside));
            }
            page.y += 8.0;
        }
        page.y += 12.0;
    }
    for words in [note, machine] {
        page.text(16.0, "note", words);
        page.y += THICK + 6.0;
    }
    let (width, height) = (page.left + LONGEST + NUMBER, page.y + 10.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">\n\
         <style>\n{STYLE}</style>\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" class=\"page\"/>\n{}</svg>\n",
        escaped(title),
        page.body
    )
}

/// Writes a chart to a file.
pub(super) fn write(file: &Path, svg: &str) -> Result<(), Failure> {
    std::fs::write(file, svg).map_err(|e| Failure::io(format!("write {}", file.display()), &e))?;
    println!("The chart is in {}.", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{bar::Bar, measured::Spread};
    use super::*;

    /// The number after these characters.
    fn number(element: &str, name: &str) -> f64 {
        let rest = element.split_once(name).unwrap_or_else(|| panic!("{name} in {element}")).1;
        rest.split(|c: char| c != '.' && !c.is_ascii_digit())
            .next()
            .expect("as it is drawn")
            .parse()
            .expect("as it is drawn")
    }

    /// What a text or a limit covers: from left to right, and from top to bottom.
    fn area(element: &str) -> Option<[f64; 4]> {
        if element.starts_with("<text") {
            let (x, y) = (number(element, " x=\""), number(element, " y=\""));
            let words = element.split_once('>').expect("as it is drawn").1.trim_end_matches("</text>");
            Some([x, x + CHARACTER * words.chars().count() as f64, y - 10.0, y + 2.0])
        } else if element.starts_with("<path") {
            let x = number(element, "\"M");
            let y = number(
                element.split_once(' ').expect("as it is drawn").1.split_once(' ').expect("as it is drawn").1,
                "",
            );
            Some([x, x, y, number(element, "V")])
        } else {
            None
        }
    }

    #[test]
    fn no_words_meet_others_or_a_limit_however_long_the_bars_are() {
        let lengths = [1.0, 7.0, 30.0, 100.0, 250.0, 500.0, 3639.0];
        let bars = [Bar::Share(0.5), Bar::Share(2.0), Bar::Over(30.0), Bar::Over(200.0)];
        let line = |own: f64, other: f64, bar: Bar| Line {
            what: "error, then fallback, again".to_owned(),
            own: Spread { low: own, middle: own, high: own },
            beside: format!("tower-resilience {bar}"),
            other,
            bars: vec![bar],
        };
        let lines = lengths
            .into_iter()
            .flat_map(|own| lengths.into_iter().flat_map(move |other| bars.map(|bar| line(own, other, bar))))
            .collect();
        let section = Section { title: "Ours and the peers'".to_owned(), is_rate: false, lines };
        let svg = draw(&[section], "What the layers cost", "Medians.", "2 cores");
        let areas: Vec<_> = svg.lines().filter_map(|element| Some((element, area(element)?))).collect();
        for (at, (one, [left, right, top, bottom])) in areas.iter().enumerate() {
            for (other, [left_2, right_2, top_2, bottom_2]) in &areas[at + 1..] {
                let apart = right < left_2 || right_2 < left || bottom <= top_2 || bottom_2 <= top;
                assert!(apart || one.starts_with("<path") && other.starts_with("<path"), "{one}\n{other}");
            }
        }
    }
}
