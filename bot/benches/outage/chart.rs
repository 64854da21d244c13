//! The run as a chart: the latency of Rosey's operations, and what the other designs lost and doubled under
//! the same faults.

use std::fmt::Write;
use std::time::Duration;

use super::load::{Path, RATE, Seen};
use super::naive::NaiveClient;
use super::run::Run;
use super::verdict::Verdict;
use super::world::Window;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 742.0;
/// The upper panel: latency.
const TOP: f64 = 84.0;
const BOTTOM: f64 = 334.0;
/// The lower panel: events.
const LOW_TOP: f64 = 400.0;
const LOW_BOTTOM: f64 = 540.0;
const HEIGHT: f64 = 622.0;
/// The scale of the upper panel, in powers of ten of a second.
const FLOOR: f64 = -4.0;
const CEILING: f64 = 0.6;
/// The interval that one mark covers.
const BUCKET: Duration = Duration::from_millis(40);

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.head { font-weight: 600; font-size: 14px; }
.note { fill: #57606a; }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.page { fill: #ffffff; }
.band { fill: #818b98; fill-opacity: 0.16; }
.grid { stroke: #818b98; stroke-opacity: 0.35; stroke-width: 1; fill: none; }
.bar { stroke: #cf222e; stroke-width: 1.2; stroke-dasharray: 4 3; fill: none; }
.nats { stroke: #0969da; } .nats-text { fill: #0969da; }
.database { stroke: #bc4c00; } .database-text { fill: #bc4c00; }
.outbox { stroke: #1a7f37; } .outbox-text { fill: #1a7f37; }
.failed { stroke: #cf222e; } .failed-text { fill: #cf222e; }
.lost { stroke: #cf222e; } .lost-text { fill: #cf222e; }
.doubled { stroke: #8250df; } .doubled-text { fill: #8250df; }
.dots { stroke-width: 3; stroke-linecap: round; fill: none; }
.sign { stroke-width: 8; stroke-linecap: round; fill: none; }
.reach { stroke-width: 1.1; stroke-opacity: 0.45; fill: none; }
.line { stroke-width: 2; stroke-linejoin: round; fill: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .page { fill: #0d1117; }
  .bar { stroke: #ff7b72; }
  .nats { stroke: #4493f8; } .nats-text { fill: #4493f8; }
  .database { stroke: #f0883e; } .database-text { fill: #f0883e; }
  .outbox { stroke: #3fb950; } .outbox-text { fill: #3fb950; }
  .failed { stroke: #ff7b72; } .failed-text { fill: #ff7b72; }
  .lost { stroke: #ff7b72; } .lost-text { fill: #ff7b72; }
  .doubled { stroke: #bc8cff; } .doubled-text { fill: #bc8cff; }
}
";

const PATHS: [(Path, &str); 4] =
    [(Path::Nats, "nats"), (Path::Database, "database"), (Path::Outbox, "outbox"), (Path::Failed, "failed")];

struct Page {
    body: String,
    /// The length of the whole run, in seconds.
    length: f64,
}

impl Page {
    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.add(&format!("<text x=\"{x:.0}\" y=\"{y:.0}\" class=\"{class}\">{text}</text>"));
    }

    fn path(&mut self, class: &str, points: &str) {
        if !points.is_empty() {
            self.add(&format!("<path class=\"{class}\" d=\"{points}\"/>"));
        }
    }

    fn x(&self, time: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * (time.as_secs_f64() / self.length).min(1.0)
    }

    /// Draws the faults behind both panels.
    fn bands(&mut self, windows: &[Window], panels: &[(f64, f64)]) {
        for Window { fault, began, back } in windows {
            let (from, to) = (self.x(*began), self.x(*back));
            for (top, bottom) in panels {
                self.add(&format!(
                    "<rect x=\"{from:.1}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{:.0}\" class=\"band\"/>",
                    to - from,
                    bottom - top
                ));
            }
            // Two faults at once are two lines: neighbours must not overlap.
            let mut y = TOP - 6.0;
            for part in fault.name().rsplit(", ") {
                self.text(f64::midpoint(from, to), y, "mid", part);
                y -= 14.0;
            }
        }
    }

    fn grid(&mut self, y: f64, words: &str) {
        self.path("grid", &format!("M{LEFT:.0} {y:.1}H{RIGHT:.0}"));
        self.text(LEFT - 6.0, y + 4.0, "note end", words);
    }
}

/// The height of a latency.
fn latency(took: Duration) -> f64 {
    let power = took.as_secs_f64().log10().clamp(FLOOR, CEILING);
    BOTTOM - (BOTTOM - TOP) * (power - FLOOR) / (CEILING - FLOOR)
}

/// Draws one mark per path and interval: a dot at the median, a stroke up to the slowest.
fn latencies(page: &mut Page, seen: &[Seen]) {
    for (power, words) in [(-4.0, "0.1 ms"), (-3.0, "1 ms"), (-2.0, "10 ms"), (-1.0, "100 ms"), (0.0, "1 s")]
    {
        page.grid(latency(Duration::from_secs_f64(10f64.powf(power))), words);
    }
    let limit = latency(Duration::from_secs(2));
    page.path("bar", &format!("M{LEFT:.0} {limit:.1}H{RIGHT:.0}"));
    page.text(RIGHT + 10.0, limit + 4.0, "note", "2 s: the time-out");
    for (path, class) in PATHS {
        let (mut dots, mut reach) = (String::new(), String::new());
        let bucket = |seen: &&Seen| seen.begun.as_nanos() / BUCKET.as_nanos();
        let of_path: Vec<&Seen> = seen.iter().filter(|seen| seen.path == path).collect();
        for together in of_path.chunk_by(|one, next| bucket(one) == bucket(next)) {
            let mut took: Vec<Duration> = together.iter().map(|seen| seen.took).collect();
            took.sort_unstable();
            let (middle, worst) = (latency(took[took.len() / 2]), latency(took[took.len() - 1]));
            let x = page.x(together[0].begun);
            let _ = write!(dots, "M{x:.1} {middle:.1}h0");
            let _ = write!(reach, "M{x:.1} {middle:.1}V{worst:.1}");
        }
        page.path(&format!("{class} reach"), &reach);
        page.path(&format!("{class} dots"), &dots);
    }
}

/// Maps a moment of another run of the same faults to this one, by linear interpolation between the starts
/// and ends of faults.
fn aligned(at: Duration, there: &[Window], here: &[Window]) -> Duration {
    let turns = |windows: &[Window]| -> Vec<f64> {
        let turns = windows.iter().flat_map(|window| [window.began, window.back]);
        [0.0].into_iter().chain(turns.map(|turn| turn.as_secs_f64())).collect()
    };
    let (there, here, at) = (turns(there), turns(here), at.as_secs_f64());
    let i = there.iter().rposition(|turn| *turn <= at).unwrap_or_default();
    let scale = match (there.get(i + 1), here.get(i + 1)) {
        (Some(there_next), Some(here_next)) => (here_next - here[i]) / (there_next - there[i]),
        _ => 1.0,
    };
    Duration::from_secs_f64(here[i] + (at - there[i]) * scale)
}

/// A line that climbs with every event for which `of` counts something; also its final sum and height.
fn climb(page: &Page, run: &Run, here: &[Window], top: u64, of: fn(Verdict) -> u64) -> (String, u64, f64) {
    let (mut points, mut sum, mut drawn) = (String::new(), 0, f64::MIN);
    #[allow(clippy::cast_precision_loss)]
    let y = |sum: u64| LOW_BOTTOM - (LOW_BOTTOM - LOW_TOP) * sum as f64 / top as f64;
    for seen in run.seen.iter().filter(|seen| seen.event) {
        let x = page.x(aligned(seen.begun, &run.windows, here));
        sum += of(run.applied.of(seen));
        if x - drawn >= 1.5 {
            let _ = write!(points, "{}{x:.1} {:.1}", if points.is_empty() { 'M' } else { 'L' }, y(sum));
            drawn = x;
        }
    }
    (format!("{points}H{RIGHT:.0}"), sum, y(sum))
}

type Climbs = (&'static str, &'static str, fn(Verdict) -> u64);

fn lost(verdict: Verdict) -> u64 {
    verdict.lost + verdict.failed
}

/// Draws what the other designs lost and doubled.
fn losses(page: &mut Page, ours: &Run, beside: &[(NaiveClient, Run)]) {
    let kinds: [Climbs; 2] = [("lost", "lost", lost), ("doubled", "doubled", |verdict| verdict.doubled)];
    let total = |run: &Run, of: fn(Verdict) -> u64| of(run.applied.sum(&run.seen));
    let most = beside.iter().flat_map(|(_, run)| kinds.map(|(_, _, of)| total(run, of))).max().unwrap_or(0);
    let step = [100, 250, 500, 1000, 2000, 5000].into_iter().find(|step| most <= step * 4).unwrap_or(10_000);
    let top = (most.div_ceil(step) * step).max(step);
    for value in (0..=top / step).map(|n| n * step) {
        #[allow(clippy::cast_precision_loss)]
        let y = LOW_BOTTOM - (LOW_BOTTOM - LOW_TOP) * value as f64 / top as f64;
        page.grid(y, &value.to_string());
    }
    let mut words = Vec::new();
    for (way, run) in beside {
        for (class, what, of) in kinds {
            let (points, sum, y) = climb(page, run, &ours.windows, top, of);
            if sum > 0 {
                page.path(&format!("{class} line"), &points);
                words.push((y, class, format!("{sum} {what}"), way.short()));
            }
        }
    }
    for (class, _, of) in kinds {
        let (points, _, _) = climb(page, ours, &ours.windows, top, of);
        page.path(&format!("{} line", if total(ours, of) == 0 { "nats" } else { class }), &points);
    }
    let of_ours = format!("{} lost, {} doubled", total(ours, lost), total(ours, |verdict| verdict.doubled));
    words.push((LOW_BOTTOM, "nats", of_ours, "Rosey"));
    // Labels must not overlap.
    words.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut free = f64::MAX;
    for (y, class, what, who) in words {
        let y = (y + 4.0).min(free);
        page.text(RIGHT + 10.0, y, &format!("{class}-text"), &what);
        page.text(RIGHT + 10.0, y + 14.0, "note", who);
        free = y - 34.0;
    }
}

/// Marks and names of the paths.
fn legend(page: &mut Page) {
    let paths = [
        ("nats", "over NATS"),
        ("database", "by the database"),
        ("outbox", "kept in the outbox"),
        ("failed", "ended with an error"),
    ];
    for (i, (class, words)) in paths.into_iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let y = 180.0 + 22.0 * i as f64;
        page.path(&format!("{class} sign"), &format!("M{:.0} {:.0}h0", RIGHT + 14.0, y - 4.0));
        page.text(RIGHT + 24.0, y, &format!("{class}-text"), words);
    }
}

fn svg(height: f64, page: &Page) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"Operations through outages\">\n\
         <style>\n{STYLE}</style>\n\
         <rect width=\"{WIDTH:.0}\" height=\"{height:.0}\" class=\"page\"/>\n{}</svg>\n",
        page.body
    )
}

/// Runs of the same faults in different modes, one below the other.
pub(crate) fn beside(runs: &[(&str, Run)]) -> String {
    let panel = BOTTOM - TOP + 70.0;
    let mut all = Page { body: String::new(), length: 1.0 };
    all.text(16.0, 28.0, "head", "How long an operation takes while paths are silent");
    let words = format!(
        "{RATE} operations a second. Dot: median of {} ms. Stroke: up to the slowest.",
        BUCKET.as_millis()
    );
    all.text(16.0, 48.0, "note", &words);
    for (i, (mode, run)) in runs.iter().enumerate() {
        let length = run.seen.last().map_or(1.0, |seen| seen.begun.as_secs_f64());
        let mut page = Page { body: String::new(), length };
        page.bands(&run.windows, &[(TOP, BOTTOM)]);
        latencies(&mut page, &run.seen);
        legend(&mut page);
        page.text(RIGHT + 14.0, TOP + 40.0, "head", mode);
        #[allow(clippy::cast_precision_loss)]
        let y = panel * i as f64;
        all.add(&format!("<g transform=\"translate(0 {y:.0})\">\n{}</g>", page.body));
    }
    #[allow(clippy::cast_precision_loss)]
    let height = TOP + panel * runs.len() as f64;
    svg(height, &all)
}

/// The chart as SVG.
pub(crate) fn draw(ours: &Run, beside: &[(NaiveClient, Run)]) -> String {
    let length = ours.seen.last().map_or(1.0, |seen| seen.begun.as_secs_f64());
    let mut page = Page { body: String::new(), length };
    page.text(16.0, 28.0, "head", "Rosey through five outages: how long an operation takes");
    let words = format!(
        "{RATE} operations a second, each counted from the moment it was meant to begin. Dot: median of {} ms. \
         Stroke: up to the slowest.",
        BUCKET.as_millis()
    );
    page.text(16.0, 48.0, "note", &words);
    page.bands(&ours.windows, &[(TOP, BOTTOM), (LOW_TOP, LOW_BOTTOM)]);
    latencies(&mut page, &ours.seen);
    legend(&mut page);
    page.text(
        16.0,
        LOW_TOP - 18.0,
        "head",
        "The same faults without ids and a ledger: events lost or doubled so far",
    );
    losses(&mut page, ours, beside);
    for second in (0..1000u32).step_by(2).take_while(|second| f64::from(*second) <= length - 0.3) {
        let x = page.x(Duration::from_secs(second.into()));
        page.text(x, LOW_BOTTOM + 18.0, "note mid", &format!("{second} s"));
    }
    let words = [
        "Counted in the file by SQL, drawn where the event was sent. “Publish and forget” is a publish over core NATS;",
        "“ask, then insert” a request, and when no answer comes within 2 s the same insert here. Both have one service.",
    ];
    for (line, y) in words.into_iter().zip([44.0, 62.0]) {
        page.text(16.0, LOW_BOTTOM + y, "note", line);
    }
    svg(HEIGHT, &page)
}
