//! The picture: the way of one operation through its hops, drawn to scale.

/// One path.
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    /// Microseconds since the call: sent to SQLite's thread, begun there, ended there, answered.
    pub(crate) at: [f64; 4],
    /// The bare round trip.
    pub(crate) bare: Option<f64>,
}

const LEFT: f64 = 250.0;
const WIDE: f64 = 560.0;
const HIGH: f64 = 18.0;
const SEGMENTS: [(&str, &str); 4] = [
    ("to the writer: stack, queue, NATS", "#0969da"),
    ("SQLite's thread wakes up", "#bf8700"),
    ("SQLite: transaction and commit", "#1a7f37"),
    ("back to the caller", "#8250df"),
];
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #24292f; } .page { fill: #ffffff; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .page { fill: #0d1117; } }";

pub(crate) fn draw(bars: &[Bar]) -> String {
    let longest = bars.iter().flat_map(|bar| bar.at.iter().chain(&bar.bare)).fold(1.0_f64, |a, b| a.max(*b));
    let scale = WIDE / longest;
    let mut body = String::new();
    let mut y = 20.0;
    let text =
        |x: f64, y: f64, words: &str| format!("<text x=\"{x:.0}\" y=\"{:.0}\">{words}</text>\n", y + 13.0);
    let mut row = |name: &str, segments: &[(f64, f64, &str)], end: f64| {
        body += &text(16.0, y, name);
        for (from, to, colour) in segments {
            body += &format!(
                "<rect x=\"{:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{HIGH:.0}\" fill=\"{colour}\"/>\n",
                LEFT + from * scale,
                (to - from).max(0.0) * scale
            );
        }
        body += &text(LEFT + end * scale + 6.0, y, &format!("{end:.0} µs"));
        y += HIGH + 8.0;
    };
    for Bar { name, at: [sent, begun, ended, answered], bare } in bars {
        let [to, wake, work, back] = SEGMENTS.map(|(_, colour)| colour);
        let way = [(0.0, *sent, to), (*sent, *begun, wake), (*begun, *ended, work)];
        if answered < ended {
            row(name, &[(0.0, *answered, back)], *answered);
            row("  and until it is applied", &way, *ended);
        } else {
            let all = [way.as_slice(), &[(*ended, *answered, back)]].concat();
            row(name, &all, *answered);
        }
        if let Some(bare) = bare {
            row("  the bare round trip", &[(0.0, *bare, "#8c959f")], *bare);
        }
    }
    y += 8.0;
    for (name, colour) in SEGMENTS {
        body += &format!("<rect x=\"16\" y=\"{y:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n");
        body += &text(36.0, y - 2.0, name);
        y += 18.0;
    }
    let (width, height) = (LEFT + WIDE + 90.0, y + 12.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"Where the time of one operation goes\">\n<style>{STYLE}</style>\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" class=\"page\"/>\n{body}</svg>\n"
    )
}
