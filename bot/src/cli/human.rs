//! Numbers as people read them: times, sizes, rates.

use eitherway::clock;

/// For how long, in the two largest units: "3 s", "4 min 5 s", "3 h 5 min", "2 d 4 h".
pub(super) fn lasting(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |large: i64, unit: &str, small: i64, part: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two(minutes, "min", seconds % 60, "s"),
        3600..86_400 => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

/// A time of day, of this day; else with its date. UTC.
pub(super) fn moment(at: i64, now: i64) -> String {
    let (whole, today) = (clock::rfc3339(at), clock::rfc3339(now));
    match (whole.split_once('T'), today.split_once('T')) {
        (Some((day, time)), Some((this, _))) => {
            let time = time.get(..8).unwrap_or(time);
            if day == this { time.to_owned() } else { format!("{day} {time}") }
        }
        _ => whole,
    }
}

/// A size, in units of a thousand.
#[allow(clippy::cast_precision_loss)] // rounded all the same
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return format!("{} {unit}", number(value));
        }
        value /= 1000.0;
    }
    format!("{} TB", number(value))
}

/// A number with three digits that count: "0", "0.4", "1.2", "18", "18 200".
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole, and not negative
pub(super) fn number(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value < 0.05 => "< 0.1".to_owned(),
        value if value < 9.95 && (value - value.round()).abs() > 0.001 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value => {
            let digits = 10_f64.powf(value.log10().floor() - 2.0);
            grouped(((value / digits).round() * digits).round() as u64)
        }
    }
}

/// All digits of a number, in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut shown = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !shown.is_empty() {
            // One that does not break a line.
            shown.push('\u{a0}');
        }
        shown.extend(group.iter().map(|digit| char::from(*digit)));
    }
    shown
}

/// How long something takes: "0.4 ms", "1.2 s".
pub(super) fn takes(seconds: f64) -> String {
    match seconds {
        seconds if seconds <= 0.0 => "0 ms".to_owned(),
        seconds if seconds < 0.0995 => format!("{} ms", number(seconds * 1000.0)),
        seconds if seconds < 0.9995 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        for (millis, shown) in [
            (-5, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (245_000, "4 min 5 s"),
            (3 * 3_600_000 + 300_000, "3 h 5 min"),
            (52 * 3_600_000, "2 d 4 h"),
            (48 * 3_600_000 + 60_000, "2 d"),
        ] {
            assert_eq!(lasting(millis), shown);
        }
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let noon = 1_764_331_200_000;
        assert_eq!(moment(noon, noon + 1000), "12:00:00");
        assert_eq!(moment(noon, noon + 86_400_000), "2025-11-28 12:00:00");
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, shown) in [
            (0.0, "0"),
            (0.01, "< 0.1"),
            (0.43, "0.4"),
            (2.0, "2"),
            (2.04, "2.0"),
            (18.4, "18"),
            (18_210.0, "18\u{a0}200"),
        ] {
            assert_eq!(number(value), shown);
        }
        assert_eq!(grouped(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(41_300_000), "41 MB");
        assert_eq!(size(1_500_000_000), "1.5 GB");
        assert_eq!(takes(0.0012), "1.2 ms");
        assert_eq!(takes(0.45), "450 ms");
        assert_eq!(takes(2.0), "2.0 s");
    }
}
