//! Lines of the last ten minutes as small drawings. What they show is also said in words.

use std::fmt::Write;

use maud::{Markup, html};

use super::super::super::human;
use super::super::board::Line;

const WIDTH: f32 = 240.0;
const HEIGHT: f32 = 36.0;

/// One or several lines, which stand on each other.
pub(super) fn drawn(name: &str, lines: &[Line]) -> Markup {
    let Some(columns) = lines.iter().map(|line| line.values.len()).min().filter(|columns| *columns > 1)
    else {
        return html! {};
    };
    let mut floor = vec![0.0_f32; columns];
    let mut tops = Vec::new();
    for line in lines {
        let top: Vec<f32> = floor.iter().zip(&line.values).map(|(floor, value)| floor + value).collect();
        tops.push((line, floor, top.clone()));
        floor = top;
    }
    let most = floor.iter().copied().fold(0.0_f32, f32::max);
    let label = if most > 0.0 {
        format!("{name} in ten minutes: {} at most", human::number(f64::from(most)))
    } else {
        format!("{name} in ten minutes: none")
    };
    // Half empty at the least: a line that touches the top looks like a limit.
    let scale = (HEIGHT - 2.0) / if most > 0.0 { most * 1.08 } else { 1.0 };
    html! {
        svg.spark viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
            line.ground x1="0" x2=(WIDTH) y1=(HEIGHT - 0.5) y2=(HEIGHT - 0.5) {}
            @for (line, floor, top) in tops.iter().filter(|(line, ..)| line.values.iter().any(|value| *value > 0.0)) {
                path class=(class(&line.name)) d=(area(floor, top, scale)) {}
            }
        }
    }
}

fn class(name: &str) -> &'static str {
    match name {
        "NATS" | "service" => "nats",
        "database" => "db",
        "outbox" | "events" => "outbox",
        _ => "plain",
    }
}

/// What lies between two lines.
#[allow(clippy::cast_precision_loss)] // few columns
fn area(floor: &[f32], top: &[f32], scale: f32) -> String {
    let step = WIDTH / (top.len() - 1) as f32;
    let mut path = String::new();
    let forth = top.iter().enumerate();
    let back = floor.iter().enumerate().rev();
    for (n, (column, value)) in forth.chain(back).enumerate() {
        let (x, y) = (column as f32 * step, HEIGHT - 0.5 - value * scale);
        let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
    }
    path + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_on_each_other_and_are_told_in_words() {
        let line = |name: &str, values: &[f32]| Line { name: name.to_owned(), values: values.to_vec() };
        let drawn = drawn("Operations", &[line("NATS", &[1.0, 2.0]), line("database", &[0.0, 2.0])]).0;
        assert!(drawn.contains("aria-label=\"Operations in ten minutes: 4 at most\""), "{drawn}");
        assert_eq!(drawn.matches("<path").count(), 2);
        assert!(!drawn.contains("style="), "nothing inline: {drawn}");
    }

    #[test]
    fn where_nothing_was_nothing_is_drawn() {
        let none = Line { name: "NATS".to_owned(), values: vec![0.0; 5] };
        let shown = drawn("Operations", &[none]).0;
        assert!(shown.contains("none") && !shown.contains("<path"), "{shown}");
        assert_eq!(drawn("Operations", &[]).0, "");
    }
}
